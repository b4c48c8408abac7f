"""Ends what takes too long, where that can be done: in the main thread, on a system that has interval timers.

The timer counts the process's own time in user mode, not ``SIGALRM``'s: that one belongs to the deadline. A
regular expression looks for signals while it runs, so even one that a user wrote carelessly comes to an end.
https://docs.python.org/3/library/signal.html#signal.setitimer
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["TookTooLong", "within"]

_T = TypeVar("_T")


class TookTooLong(BaseException):
    """The time is over. No ``Exception``, so that nothing on the way mistakes it for one of its own."""


def _stop(signum: int, frame: object) -> None:  # noqa: ARG001
    raise TookTooLong


def within(seconds: float, function: Callable[[], _T]) -> _T:
    """Call a function, for at most so many seconds of processor time.

    Where there is no timer (another thread, another system, a user's own handler of ``SIGVTALRM``), it takes
    as long as it takes.

    :raises TookTooLong: when the time is over
    """
    import signal  # only a failure needs it

    try:
        before = signal.getsignal(signal.SIGVTALRM)
        if before not in (signal.SIG_DFL, _stop):
            return function()
        signal.signal(signal.SIGVTALRM, _stop)
    except (AttributeError, ValueError):
        return function()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        return function()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
