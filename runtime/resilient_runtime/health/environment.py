"""What is known of one execution environment, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resilient_runtime.clock import Clock

from .records import HealthLines
from .state import State

__all__ = ["Environment"]


class Environment:
    """Its age, its invocations, and its voice.

    :param state: what the interpreter before this one told
    :param not_recycled: why the interpreter cannot be re-executed here; None when it can
    :ivar invocations: how many this environment has served, the one under way included
    :ivar lived: how many of them this interpreter has
    :ivar start: seconds that this interpreter's start took
    :ivar start_processor: seconds of those that the processor worked
    """

    def __init__(
        self,
        state: State,
        *,
        not_recycled: str | None,
        lines: HealthLines,
        emit: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self.state = state
        self.not_recycled = not_recycled
        self.clock = clock
        self.born = state.born
        self.invocations = state.invocations
        self.lived = 0
        self.start = state.start
        self.start_processor = state.start
        self.context: Any = None
        self.remaining: Callable[[], int] | None = None
        self._lines = lines
        self._emit = emit
        self._said: set[str] = set()

    @property
    def request_id(self) -> str:
        """The invocation's, this one or the last."""
        return str(getattr(self.context, "aws_request_id", "") or "")

    def left(self) -> float:
        """Seconds that the invocation has left; 0 where nobody tells."""
        return 0.0 if self.remaining is None else self.remaining() / 1000

    def facts(self) -> dict[str, Any]:
        """How old it is, and what it has behind it."""
        facts: dict[str, Any] = {
            "container_age_s": round(max(self.clock.wall() - self.born, 0), 1),
            "invocation": self.invocations,
            "recycles": self.state.recycles,
        }
        if self.state.reason:
            facts["last_recycle"] = self.state.reason
        return facts

    def tell(self, status: str, *, request_id: str | None = None, **members: Any) -> None:
        """Write one line about it."""
        about = {**self.facts(), **members}
        self._emit(self._lines.line(status, request_id=request_id or self.request_id, **about))

    def note(self, sentence: str) -> None:
        """Say something that a person should know."""
        self.tell("HEALTH", note=sentence)

    def tell_once(self, subject: str, sentence: str, **members: Any) -> None:
        """Say something that stays true, once in this interpreter's life."""
        if subject not in self._said:
            self._said.add(subject)
            self.tell("HEALTH", note=sentence, **members)

    def broken(self, part: str, error: BaseException) -> None:
        """Say that something of our own failed; it harms no invocation."""
        self.tell_once(f"broken {part}", f"{part} failed: {type(error).__name__}: {error}")


def attempts_of(event: Any) -> int:
    """How often the most delivered message of an SQS event has been received; 1 for any other event."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    most = 1
    for record in records if isinstance(records, list) else ():
        attributes = record.get("attributes") if isinstance(record, Mapping) else None
        count = attributes.get("ApproximateReceiveCount") if isinstance(attributes, Mapping) else None
        if isinstance(count, str) and count.isdecimal():
            most = max(most, int(count))
    return most
