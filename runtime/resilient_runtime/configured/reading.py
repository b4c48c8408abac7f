"""``configuration``: what a handler reads its parameters and secrets from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

from resilient_runtime.chance import uniform
from resilient_runtime.clock import SYSTEM_CLOCK, Clock
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.settings import ConfigurationEntry

from .asking import Start, Store
from .forms import Unreadable, read
from .records import ConfigurationRecords
from .values import Values

__all__ = ["Configuration", "ConfigurationUnavailable", "UnknownConfiguration", "configuration"]

_NOWHERE: dict[str, ConfigurationEntry] = {}


# Not …Error: the public names of a handler read as plain statements.
class UnknownConfiguration(LookupError):  # noqa: N818
    """The handler asked for a value that its function was not given."""


class ConfigurationUnavailable(Exception):  # noqa: N818
    """A value was never loaded, and AWS still refuses it; the work that needs it should come again."""


class Configuration:
    """The values that a function's construct names, by the names it gives them.

    ``configuration["courier_url"]`` is the value in the form that was declared. It is read from memory:
    loaded when the environment started, and renewed in the background of invocations. Ask for it where it is
    used, not once at the top of a module, or a renewed value is never seen.

    Values of form ``json`` are shared by all who read them: do not change them.
    """

    def __init__(self) -> None:
        self._values: Values | None = None
        self._shown: dict[str, Any] = {}
        self._overrides: list[Mapping[str, Any]] = []
        self._showing = threading.Lock()

    def __getitem__(self, name: str) -> Any:
        """The value, in the form that was declared.

        :raises UnknownConfiguration: when the function was given nothing of this name
        :raises ConfigurationUnavailable: when it was never loaded, and another attempt failed too
        """
        try:
            return self._shown[name]
        except KeyError:
            pass  # outside of this block, so that what is raised does not carry a KeyError along
        return self._demand(name)

    def text(self, name: str, *members: str | int) -> str:
        """The value, or a member of a JSON value, as text: ``configuration.text("database", "password")``.

        :raises ValueError: when it is no text, or has no such member; it says which, never the value
        :raises UnknownConfiguration: see ``configuration[name]``, and ``ConfigurationUnavailable`` too
        """
        value: str = self._read("text", name, members)
        return value

    def integer(self, name: str, *members: str | int) -> int:
        """The value, or a member of a JSON value, as a whole number; a text of digits will do.

        :raises ValueError: see ``text``
        """
        value: int = self._read("int", name, members)
        return value

    def number(self, name: str, *members: str | int) -> float:
        """The value, or a member of a JSON value, as a number.

        :raises ValueError: see ``text``
        """
        value: float = self._read("float", name, members)
        return value

    def flag(self, name: str, *members: str | int) -> bool:
        """The value, or a member of a JSON value, as true or false.

        :raises ValueError: see ``text``
        """
        value: bool = self._read("bool", name, members)
        return value

    def json(self, name: str, *members: str | int) -> Any:
        """The value, or a member of it, as JSON; do not change it, it is shared.

        :raises ValueError: see ``text``
        """
        return self._read("json", name, members)

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known()))

    def __repr__(self) -> str:
        ages = {} if self._values is None else self._values.ages()
        overridden = {name for values in self._overrides for name in values}
        known = [
            f"{name} (overridden)"
            if name in overridden
            else f"{name} ({ages[name]:.0f} s old)"
            if name in ages
            else f"{name} (not loaded)"
            for name in self
        ]
        return f"<configuration: {', '.join(known) or 'nothing'}>"

    def refresh(self, *names: str) -> bool:
        """Load these (default: all) now, for example because a credential was refused after its rotation.

        Each value at most once a second, and none while the stores are left alone after a failure. It never
        raises for a value that is there.

        :returns: whether any of them has another value now, so that trying again makes sense
        """
        values = self._values
        for name in names:
            if name not in self:
                raise self._unknown(name)
        if values is None:
            return False
        return values.reload([name for name in (names or values.entries) if name in values.entries])

    def override(self, values: Mapping[str, Any]) -> _Override:
        """For unit tests: these values instead of any others, without AWS, inside a ``with`` block.

        ``with configuration.override({"courier_url": "http://localhost:8080"}): …``. It holds for all
        threads, and may be nested.
        """
        return _Override(self._override, values)

    def known_secrets(self) -> frozenset[str]:
        """The texts that must not appear in any record: every loaded secret, of at least eight characters.

        Of a JSON secret each text inside, too; and of a secret that was renewed, the one before.
        """
        return frozenset() if self._values is None else self._values.secrets()

    def relied_on(self) -> list[str]:
        """The names of values that are there although their store could not be asked for them of late."""
        values = self._values
        if values is None:
            return []
        there = values.current()
        return [name for name in list(values.faults) if name in there]

    def load(
        self,
        entries: Iterable[ConfigurationEntry],
        *,
        service: str,
        function_name: str,
        emit: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
        store_of: Callable[[str], Store] | None = None,
        random: Callable[[], float] | None = None,
        start: Start | None = None,
    ) -> None:
        """Load everything, in the init phase. What fails is told, and tried again when it is first used.

        :param service: the service's name as the construct was given it
        :param function_name: the function's name, for the record's metric
        :param emit: takes each record
        :param store_of: makes the store of each kind. Default: Parameter Store and Secrets Manager
        :param random: 0 to 1, for jitter. Default: the machine's
        :param start: runs a function in a thread. Default: a daemon thread
        """
        self._values = Values(
            entries,
            store_of=store_of or _store_of,
            clock=clock,
            random=random or uniform,
            start=start or _in_thread,
            records=ConfigurationRecords(
                RareRecords(service=service, function_name=function_name, clock=clock, emit=emit)
            ),
            changed=self._show,
        )
        self._show()
        self._values.load()

    def refresh_in_background(self) -> None:
        """At the start of an invocation: begin to renew what will soon be old."""
        if self._values is not None:
            self._values.look()

    def _demand(self, name: str) -> Any:
        values = self._values
        if values is None or name not in values.entries:
            raise self._unknown(name)
        values.load()
        if name in self._shown:
            return self._shown[name]
        missing = [one for one in values.entries if one not in self._shown]
        reasons = "; ".join(f"{one!r}: {values.faults.get(one, 'not asked for yet')}" for one in missing)
        raise ConfigurationUnavailable(
            f"configuration[{name!r}] was never loaded. {reasons}. It is tried again on the next use, in "
            f"{values.pause_left():.1f} s at the earliest"
        )

    def _unknown(self, name: str) -> UnknownConfiguration:
        names = ", ".join(repr(one) for one in self) or "none"
        return UnknownConfiguration(
            f"configuration[{name!r}]: this function knows {names}. Name it in its construct's configuration"
            ", or correct the name; a unit test gives values with configuration.override({...})"
        )

    def _read(self, form: str, name: str, members: tuple[str | int, ...]) -> Any:
        value = self[name]
        path = f"configuration[{name!r}]"
        for member in members:
            value = _member_of(value, member, path)
            path += f"[{member!r}]"
        try:
            return read(value, form)
        except Unreadable as unreadable:
            why = str(unreadable)
        raise ValueError(f"{path} {why}, but {type(value).__name__}")

    def _known(self) -> set[str]:
        return {*self._shown, *(_NOWHERE if self._values is None else self._values.entries)}

    def _override(self, values: Mapping[str, Any], *, begin: bool) -> None:
        if begin:
            self._overrides.append(values)
        else:
            # By identity: two nested overrides may be equal.
            self._overrides = [one for one in self._overrides if one is not values]
        self._show()

    def _show(self) -> None:
        with self._showing:
            shown = {} if self._values is None else self._values.current()
            for values in self._overrides:
                shown |= values
            self._shown = shown


class _Override:
    """Begins and ends one override."""

    def __init__(self, change: Callable[..., None], values: Mapping[str, Any]) -> None:
        self._change = change
        self._values = dict(values)

    def __enter__(self) -> None:
        self._change(self._values, begin=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._change(self._values, begin=False)


def _member_of(value: Any, member: str | int, path: str) -> Any:
    if type(value) is dict and member in value:
        return value[member]
    if type(value) is list and type(member) is int and -len(value) <= member < len(value):
        return value[member]
    if type(value) is dict:
        has = f"its members are {', '.join(map(repr, value)) or 'none'}"
    elif type(value) is list:
        has = f"it is a list of {len(value)}"
    else:
        has = f"it is {type(value).__name__}; declare it with form='json' where it holds JSON"
    raise ValueError(f"{path} has no member {member!r}: {has}")


def _store_of(kind: str) -> Store:
    # Late on purpose: a function without configuration never pays for these.
    if kind == "parameter":
        from resilient_runtime.stores.parameters import ParameterStore

        return ParameterStore()
    from resilient_runtime.stores.secrets_manager import SecretsManager

    return SecretsManager()


def _in_thread(run: Callable[[], None]) -> Callable[[float], object]:
    # A daemon: an environment that ends does not wait for a store.
    thread = threading.Thread(target=run, name="resilient-configuration", daemon=True)
    thread.start()
    return thread.join


configuration = Configuration()
"""The one that handlers import: ``from resilient_runtime import configuration``."""
