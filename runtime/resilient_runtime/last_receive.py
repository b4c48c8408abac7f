"""A message that fails in its last receive: stored with its reason, where SQS would move it without one.

SQS's own redrive stays behind it. Whatever keeps the message from being stored here, it goes back, and at its
next receive SQS moves it as it is.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from .call import Call
from .interruption import DeadlineExceeded
from .lifecycle import Guard, under_guard
from .rejection import Rejection
from .status import StatusLines, Teller

__all__ = ["NEEDS", "DeadLetters", "LastReceive", "rejection_of", "store_guarded"]

NEEDS = 0.7
"""Seconds that must be left once the handler was interrupted: an answer is waited for 0.6 s, and once."""

_NOT_STORED = (
    "This was the message's last receive, and the dead-letter queue did not take it with its reason, so SQS "
    "moves it there without one. Check sqs:SendMessage of the function's role on that queue (and the grant "
    "on its KMS key), and that the queue exists."
)


class DeadLetters(Protocol):
    """Where messages are safe that are given up."""

    def store(self, record: Mapping[str, Any], rejection: Rejection) -> bool:
        """Return once the message is stored, and whether with its label; raise when it is not known to be."""
        ...


def rejection_of(call: Call, lines: StatusLines, *, reason: str, error: str | None) -> Rejection:
    """Why a message is given up now, and what is known of it."""
    return Rejection(
        reason=reason,
        error=error,
        correlation_id=call.correlation_id,
        attempt=call.attempt,
        function_name=lines.function_name,
        request_id=call.request_id,
        rejected_at=lines.timestamp(),
    )


def store_guarded(
    guard: Guard, dead_letters: DeadLetters, record: Mapping[str, Any], rejection: Rejection
) -> bool:
    """Store a message: a queue that does not answer must not cost the batch what it has completed.

    :returns: whether the message carries its label
    :raises BaseException: whatever kept it from being stored, the deadline's interruption included
    """
    return under_guard(guard, lambda: dead_letters.store(record, rejection))


class LastReceive:
    """Stores messages whose receives are used up.

    :param most: how many times a message is received before SQS gives it up. None: nobody knows
    :param dead_letters: where they go
    :param hurried: the same, by a client that waits for no answer longer than ``NEEDS``: for messages whose
        handler was interrupted, when Lambda's own timeout is near
    :param prepare: makes that client, before the handler takes its time
    :param guard: interrupts what takes too long
    :param lines: writes the status records
    :param tell: takes each of them
    """

    __slots__ = ("_dead_letters", "_guard", "_hurried", "_lines", "_prepare", "_tell", "most")

    def __init__(
        self,
        most: int | None,
        *,
        dead_letters: DeadLetters,
        hurried: DeadLetters | None = None,
        prepare: Callable[[], object] | None = None,
        guard: Guard,
        lines: StatusLines,
        tell: Teller,
    ) -> None:
        self.most = float("inf") if most is None else most
        self._dead_letters = dead_letters
        self._hurried = hurried or dead_letters
        self._prepare = prepare
        self._guard = guard
        self._lines = lines
        self._tell = tell

    def prepare(self) -> None:
        """A message is about to be tried for the last time."""
        if self._prepare is not None:
            with suppress(Exception):  # it may succeed, and else what is wrong is told where it is stored
                self._prepare()

    def store(self, record: Mapping[str, Any], call: Call, error: BaseException) -> dict[str, Any]:
        """Store a message that failed, if it will not be received again.

        :param error: what it failed with; told without its secrets
        :returns: what its FAILED record says of it; it is stored if ``dead_lettered`` is among that
        """
        if call.attempt < self.most:
            return {}
        guard, lines = self._guard, self._lines
        hurried = guard.passed
        if hurried and guard.left() < NEEDS:
            return {}
        text = lines.shown(error)
        rejection = rejection_of(
            call,
            lines,
            reason=f"gave up after {call.attempt:,} receive{'s' if call.attempt > 1 else ''}",
            error=f"{type(error).__name__}: {text}" if text else type(error).__name__,
        )
        try:
            if hurried:
                labelled = self._hurried.store(record, rejection)
            else:
                labelled = store_guarded(guard, self._dead_letters, record, rejection)
        except (Exception, DeadlineExceeded) as broken:  # noqa: BLE001  whatever kept it from being stored
            self._tell(lines.broken, "dead letters", broken)
            return {"remedy": _NOT_STORED}
        return {"dead_lettered": True, "labelled": labelled}
