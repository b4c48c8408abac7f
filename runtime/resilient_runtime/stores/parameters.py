"""SSM's Parameter Store: ten parameters per call.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from resilient_runtime.configured.asking import Answer, Ask, Found, Wanted, calls_for
from resilient_runtime.settings import ConfigurationEntry

from .clients import Once, client, unlogged
from .refusals import code_of, said_by
from .remedies import remedy_for

__all__ = ["GetsParameters", "ParameterStore"]

_PER_CALL = 10

_NO_SUCH = (
    "there is no such parameter in this account and region: create it, or correct its name where the "
    "function's configuration is declared"
)


class GetsParameters(Protocol):
    """The one call of botocore's SSM client that is used here."""

    def get_parameters(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html."""
        ...


class ParameterStore:
    """Reads parameters, ``SecureString`` ones decrypted.

    :param connect: makes the client when the first parameter is read
    """

    def __init__(self, connect: Callable[[], GetsParameters] = lambda: client("ssm")) -> None:
        self._client = Once(connect)

    def asks(self, entries: Sequence[ConfigurationEntry]) -> list[Ask]:
        """One call for every ten parameters; one that several entries name is asked for once."""
        return [partial(self._get, wanted) for wanted in calls_for(entries, per_call=_PER_CALL)]

    def _get(self, wanted: Wanted) -> Answer:
        try:
            with unlogged():
                answer = self._client().get_parameters(Names=list(wanted), WithDecryption=True)
        except Exception as error:  # noqa: BLE001  whatever keeps it from us, the values that are there stay
            if len(wanted) > 1 and code_of(error) in _ONE_SPOILS_ALL:
                return self._one_by_one(wanted)
            remedy = remedy_for(error, "ssm:GetParameters")
            return _faults(wanted, f"{said_by(error)}. {remedy}")
        found: dict[str, Found] = {}
        faults: dict[str, str] = {}
        for parameter in answer.get("Parameters", ()):
            for entry in wanted.get(_source_of(parameter, wanted), ()):
                found[entry.name] = Found(parameter["Value"], parameter.get("Type") == "SecureString")
        for source, entries in wanted.items():
            for entry in entries:
                if entry.name not in found:
                    faults[entry.name] = f"parameter {source!r}: {_NO_SUCH}"
        return Answer(found, faults)

    def _one_by_one(self, wanted: Wanted) -> Answer:
        """One parameter that may not be read or decrypted refuses the whole call: find out which."""
        found: dict[str, Found] = {}
        faults: dict[str, str] = {}
        for source, entries in wanted.items():
            answer = self._get({source: entries})
            found |= answer.found
            faults |= answer.faults
        return Answer(found, faults)


# Not throttling, nor the network: asking ten times instead of once would make those worse.
_ONE_SPOILS_ALL = frozenset({"AccessDeniedException", "InvalidKeyId", "ValidationException"})


def _source_of(parameter: Mapping[str, Any], wanted: Mapping[str, object]) -> str:
    """Which of the names in the request this one answers: it comes back with its selector apart."""
    selector = parameter.get("Selector") or ""
    for known in (parameter.get("Name", ""), parameter.get("ARN", "")):
        for source in (f"{known}{selector}", f"{known}:{selector.removeprefix(':')}", known):
            if source in wanted:
                return str(source)
    return ""


def _faults(wanted: Wanted, fault: str) -> Answer:
    return Answer(
        {},
        {
            entry.name: f"parameter {source!r}: {fault}"
            for source, entries in wanted.items()
            for entry in entries
        },
    )
