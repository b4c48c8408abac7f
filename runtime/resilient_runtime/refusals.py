"""What an open circuit means to the rest of a batch, and to the slot that the batch was worked on in.

A refusal takes milliseconds. A slot that gave its messages back at once would be handed the next ones at
once, and a backlog of thousands would have spent a receive on nothing before its mapping is paused, which
takes AWS some 15 s, and again at each probe. So the slot waits a little before it ends: it could do nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable

from .circuit_open import CircuitOpen
from .status import StatusLines, Teller, text_of

__all__ = ["Refusals", "refuses_nothing", "seconds_to_hold", "watches_nothing"]

_FIRST = 5.0
"""Seconds that a slot is held at first, at most: not every message need be for what is down."""

_LONGEST = 20.0
"""Seconds that it is held in the end: longer than it takes to pause a mapping, shorter than a consumer's
default timeout, and a circuit that a person closes meanwhile is noticed after them."""

_SPREAD = 0.1
"""What is added by chance, as a share: all that were refused know the same moment, and the store is asked
for the probe by each that wakes."""


def seconds_to_hold(
    retry_after: float | None, in_a_row: int, spare: float, random: Callable[[], float]
) -> float:
    """Seconds that a slot waits before it gives back messages that were refused.

    Nothing the first time. Where there is little work, whoever waits and knows of the outage leaves the next
    message to an environment that does not, and it calls in vain; where there is a backlog, the second
    refusal is a moment later. From then on the wait doubles: each makes it less likely that the next message
    is for somebody who is well.

    :param retry_after: seconds until a call may pass again: nobody sleeps through the probe. None when only
        a person can tell
    :param in_a_row: batches that were refused in this environment one after the other, this one included
    :param spare: seconds of the invocation that nothing else needs
    :param random: a number from 0 up to but not including 1
    """
    if in_a_row < 2:
        return 0.0
    longest = min(_LONGEST, _FIRST * (1 << min(in_a_row - 2, 8)))
    wanted = longest if retry_after is None else min(retry_after, longest)
    return max(0.0, min(wanted * (1 + _SPREAD * random()), spare))


def refuses_nothing(_: str) -> bool:
    """For handlers whose downstreams have no breaker."""
    return False


def watches_nothing() -> bool:
    """For handlers whose downstreams have no breaker."""
    return False


class Refusals:
    """Remembers what refused a message of a batch, for as long as it would refuse the next one.

    :param refuses: whether a downstream's breaker would refuse a call now; asked after it refused one
    :param sleep: waits for so many seconds
    """

    __slots__ = ("_in_a_row", "_latest", "_lines", "_random", "_refuses", "_sleep", "_tell")

    def __init__(
        self,
        refuses: Callable[[str], bool],
        *,
        lines: StatusLines,
        tell: Teller,
        sleep: Callable[[float], None],
        random: Callable[[], float],
    ) -> None:
        self._refuses = refuses
        self._lines = lines
        self._tell = tell
        self._sleep = sleep
        self._random = random
        self._latest: CircuitOpen | None = None
        self._in_a_row = 0

    def begin(self) -> None:
        """A batch begins. Only what it meets itself counts: who seldom needs a downstream goes on without."""
        self._latest = None

    def add(self, refusal: CircuitOpen) -> str:
        """A message was refused; returns why, in words."""
        self._latest = refusal
        # By name and state: the circuit's reason may quote an exception, and is told where it opened.
        return f"circuit open: {text_of(refusal.name)} is {text_of(refusal.state)}"

    def reason(self) -> str | None:
        """Why no further message of this batch is begun: what an earlier one needed is down."""
        refusal = self._latest
        if refusal is None:
            return None
        try:
            if self._refuses(refusal.name):
                return f"circuit open: an earlier message of this batch needed {text_of(refusal.name)}"
        except Exception as error:  # noqa: BLE001  then the next message finds out by itself
            self._tell(self._lines.broken, "breaker", error)
        self._latest = None
        return None

    def off(self) -> float | None:
        """Seconds before which a message of this batch would be begun for nothing."""
        return 0.0 if self._latest is None else self._latest.retry_after

    def end(self, *, is_idle: bool, spare: float) -> None:
        """A batch is over: wait, where a message of it was refused and the slot has nothing else to do.

        :param is_idle: whether all of it goes back. What was done is to be deleted, and that does not wait
        :param spare: seconds of the invocation that nothing else needs
        """
        refusal = self._latest
        if not is_idle:
            self._in_a_row = 0
        elif refusal is not None:
            self._in_a_row += 1
            try:
                seconds = seconds_to_hold(refusal.retry_after, self._in_a_row, spare, self._random)
                if seconds > 0:
                    self._sleep(seconds)
            except Exception as error:  # noqa: BLE001  then the slot is free at once
                self._tell(self._lines.broken, "slot", error)
