"""What a failure's record says beside the failure: where it was, what it waited for, with which event.

None of it may cost the invocation anything: what cannot be found out is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as _quote
from typing import TYPE_CHECKING, Any

from .call import Call
from .reserve import Reserve
from .settings import RedactionSettings
from .traces import frames_of, stack_of, user_frames

if TYPE_CHECKING:
    from .deadline import Firing
    from .redaction import Redactor

__all__ = ["Diagnostics"]


class Diagnostics:
    """Puts together the members of a FAILED or DEADLINE record that tell what was going on.

    :param redaction: what is hidden of events and messages, besides what is hidden always
    :param facts: what is known of the execution environment
    :param known_secrets: texts that must appear in no record: the secrets that the function was given
    :param home: the folder of the user's code; the files in it are named relative to it
    :param reserve: descriptors for what a first failure imports. Default: none
    """

    def __init__(
        self,
        redaction: RedactionSettings = RedactionSettings(),  # noqa: B008  frozen
        *,
        facts: Callable[[], Mapping[str, Any]] = dict,
        known_secrets: Callable[[], frozenset[str]] = frozenset,
        home: str = "",
        reserve: Reserve | None = None,
    ) -> None:
        self._redaction = redaction
        self._facts = facts
        self._known_secrets = known_secrets
        self._home = home
        self._reserve = reserve or Reserve(0)
        self._redactor: Redactor | None = None

    def text(self, text: str) -> str:
        """An exception's message without its secrets."""
        return self._redact().text(text)

    def stack(self, error: BaseException) -> str:
        """The exception's stack without its secrets."""
        redact = self._redact()
        return stack_of(error, text=redact.text, code=redact.code)

    def of_failure(self, call: Call, error: BaseException, event: object) -> str:
        """The members of a FAILED record, each after a comma; the event, the longest, comes last."""
        return (
            _member("doing", lambda: self._doing(call, self._frames(error)))
            + self._environment()
            + _member("event", lambda: self._redact()(event))
        )

    def of_deadline(self, call: Call | None, firing: Firing) -> str:
        """The members of a DEADLINE record; the handler still runs, so all threads' stacks are in it."""
        return (
            _member("doing", lambda: self._doing(call, [firing.doing]))
            + self._environment()
            + _member("stacks", lambda: _quote(firing.stacks))
        )

    def _frames(self, error: BaseException) -> list[str]:
        return user_frames(frames_of(error.__traceback__), home=self._home)

    def _doing(self, call: Call | None, at: Sequence[str]) -> str:
        """Where the user's code was, innermost first, and the downstream call in progress, else the last."""
        told: dict[str, Any] = {"at": at}
        crossing = None if call is None else call.crossing
        if crossing is not None:
            told["downstream"] = crossing.name
            told["downstream_call"] = crossing.outcome or "in progress"
            told["downstream_ms"] = round(crossing.so_far() * 1000, 3)
        return json.dumps(told, separators=(",", ":"))

    def _environment(self) -> str:
        try:
            members = json.dumps(dict(self._facts()), default=str, allow_nan=False, separators=(",", ":"))[
                1:-1
            ]
        except Exception:  # noqa: BLE001
            return ""
        return f",{members}" if members else ""

    def _redact(self) -> Redactor:
        if self._redactor is None:
            # Late on purpose: its regular expressions take milliseconds, and most invocations do not fail.
            # It may be just the lack of descriptors that is to be told.
            self._reserve.release()
            from .redaction import Redactor

            self._redactor = Redactor(self._redaction, known_secrets=self._known_secrets)
        return self._redactor


def _member(name: str, value: Callable[[], str]) -> str:
    try:
        return f',"{name}":{value()}'
    except Exception:  # noqa: BLE001
        return ""
