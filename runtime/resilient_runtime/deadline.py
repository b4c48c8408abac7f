"""The deadline of one invocation: a little before Lambda's own timeout, so that there is time left to tell.

Lambda ends an invocation that takes too long without a word: no exception, no ``finally``, no record, the
whole batch back in its queue. Here the handler is interrupted before, where Python can be interrupted, and
what it was doing is told before that, also where it cannot.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .armed import Armed, Firing
from .interruption import DeadlineExceeded
from .watchdog import WATCHDOG, Watchdog

__all__ = [
    "Deadline",
    "Firing",
    "margin_for",
]

_LEAST_MARGIN = 0.2
_MOST_MARGIN = 1.0
_SHARE = 0.1
_LONGEST = 86_400.0
"""Seconds beyond which a context is not Lambda's, whose longest invocation has 900."""

_NEVER = float("inf")


def margin_for(seconds: float, setting: float | None = None) -> float:
    """How many seconds before Lambda's timeout the handler is interrupted.

    :param seconds: what the invocation has
    :param setting: what the user wants. Default, and for 0: a tenth of ``seconds``, at most 1
    :returns: at least 0.2
    """
    return max(_LEAST_MARGIN, setting or min(_MOST_MARGIN, seconds * _SHARE))


def _time_for_handler(left: float, margin: float) -> float:
    """Seconds until the deadline: an invocation that has hardly more than its margin still gets some."""
    return max(left - margin, min(left / 2, _LEAST_MARGIN))


class Deadline:
    """Guards one invocation after the other.

    :param setting: seconds before Lambda's timeout, see ``Settings.deadline_margin``
    :param on_fire: is told of each firing, before the handler is interrupted. It is called in another thread,
        so context variables are not those of the handler; what it raises is dropped
    :param tell: is told once why handlers of this environment cannot be interrupted
    :param home: the folder of the user's code; the files in it are named relative to it
    :param subject: what is being worked on. It is asked in another thread, while the handler runs
    """

    def __init__(
        self,
        *,
        setting: float | None,
        on_fire: Callable[[Firing], None],
        watchdog: Watchdog = WATCHDOG,
        tell: Callable[[str], None] | None = None,
        home: str = "",
        subject: Callable[[], Any] = lambda: None,
    ) -> None:
        self._setting = setting
        self.on_fire = on_fire
        self.watchdog = watchdog
        """Who looks at the invocations."""
        self._tell = tell
        self.home = home
        self.subject = subject
        self.broke_off = False
        """Whether an interruption has ended the user's code in the middle of something, in this invocation or
        the last. One that the user's code caught is its own affair."""
        self._armed: Armed | None = None
        self._remaining: Callable[[], int] | None = None
        self.margin = margin_for(0, setting)
        """Seconds that are kept back from the handler at the invocation's end."""

    @property
    def passed(self) -> bool:
        """Whether this invocation's deadline has passed; always False when it is not guarded."""
        armed = self._armed
        return armed is not None and armed.passed

    def left(self) -> float:
        """Seconds until Lambda's timeout; infinite when the context does not say."""
        left = _seconds(self._remaining)
        return _NEVER if left is None else left

    def arm(self, remaining: Callable[[], int] | None) -> None:
        """An invocation begins.

        :param remaining: tells the milliseconds that are left; where there is none, or it tells nothing
            sensible (a test's context), nothing is guarded
        """
        self.disarm()
        self.broke_off = False
        self._remaining = remaining
        left = _seconds(remaining)
        if left is None or not 0 < left < _LONGEST:
            return
        self.margin = margin_for(left, self._setting)
        now = self.watchdog.ticks()
        seconds = _time_for_handler(left, self.margin)
        self._armed = armed = Armed(self, now, left, now + seconds)
        if self._setting == 0:
            return
        # Where Python itself is stuck, the stack is dumped when half of the margin is gone: not earlier, as
        # the watchdog may have to wait for its turn among busy threads.
        watching = self.watchdog.watch(armed, seconds=seconds, dump=(seconds + left) / 2)
        if watching and self._tell is not None and self.watchdog.cannot_interrupt is not None:
            tell, self._tell = self._tell, None
            tell(self.watchdog.cannot_interrupt)

    def disarm(self) -> None:
        """The invocation is over; call it before its answer is given."""
        self._remaining = None
        armed = self._armed
        if armed is not None:
            armed.inside = None
            self.watchdog.stop(armed)
            self._armed = None

    def enter(self) -> None:
        """The user's code begins: from now on it may be interrupted.

        :raises DeadlineExceeded: when the deadline has passed already
        """
        armed = self._armed
        if armed is not None:
            armed.inside = sys._getframe(1)
            if armed.passed:
                armed.inside = None
                raise DeadlineExceeded(armed.message("before the handler began"))

    def leave(self) -> None:
        """The user's code has ended: what is left to do is not interrupted."""
        armed = self._armed
        if armed is not None:
            armed.inside = None
            if armed.interrupted and sys.exc_info()[1] is not None:
                self.broke_off = True


def _seconds(remaining: Callable[[], int] | None) -> float | None:
    """Seconds left, or None where the context does not say: a test's may hold anything."""
    if remaining is None:
        return None
    try:
        left = remaining()
    except Exception:  # noqa: BLE001
        return None
    return left / 1000 if isinstance(left, int | float) else None
