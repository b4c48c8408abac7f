"""The deadline of one invocation: a little before Lambda's own timeout, so that there is time left to tell.

Lambda ends an invocation that takes too long without a word: no exception, no ``finally``, no record, the
whole batch back in its queue. Here the handler is interrupted before, where Python can be interrupted, and
what it was doing is told before that, also where it cannot.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NamedTuple

from .interruption import DeadlineExceeded
from .stacks import doing, in_finalizer, of_all_threads
from .watchdog import WATCHDOG, Watchdog

__all__ = [
    "Deadline",
    "Firing",
    "margin_for",
]

_LEAST_MARGIN = 0.2
_MOST_MARGIN = 1.0
_SHARE = 0.1
_TIMES = 3
"""How often one invocation is interrupted at most: each time when half of what was left is gone."""

_AGAIN = 0.005
"""Seconds after which an interruption that came at a bad moment is tried again; and after which one that has
not arrived is sent once more, for it may have come just before a wait began, which then sleeps on."""

_UNDISTURBED = 0.15
"""Seconds between all further signals. psycopg waits in C, 0.1 s at a time, and begins that anew at each
signal; it notices one only at the end, so that signals in quick succession would never arrive."""

_PATIENCE = 10
"""How often it is tried again before it is done at a bad moment."""

_LONGEST = 86_400.0
"""Seconds beyond which a context is not Lambda's, whose longest invocation has 900."""

_NEVER = float("inf")


class Firing(NamedTuple):
    """What is known at the moment of the deadline.

    :param times: 1 for the first in this invocation; more when the handler still runs after it was
        interrupted
    :param doing: where the handler is: file, line and function of the user's own code, and what that waits in
    :param stacks: the handler's frames and those of all other threads, at most 8,192 characters
    :param ran: seconds since the invocation began
    :param left: seconds until Lambda's timeout
    :param cannot_interrupt: why the handler cannot be interrupted; None when it is about to be
    :param subject: what the handler was working on
    """

    times: int
    doing: str
    stacks: str
    ran: float
    left: float
    cannot_interrupt: str | None
    subject: Any = None


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
        self._watchdog = watchdog
        self._tell = tell
        self.home = home
        self.subject = subject
        self.broke_off = False
        """Whether an interruption has ended the user's code in the middle of something, in this invocation or
        the last. One that the user's code caught is its own affair."""
        self._armed: _Armed | None = None
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
        now = self._watchdog.ticks()
        seconds = _time_for_handler(left, self.margin)
        self._armed = armed = _Armed(self, now, left, now + seconds)
        if self._setting == 0:
            return
        # Where Python itself is stuck, the stack is dumped when half of the margin is gone: not earlier, as
        # the watchdog may have to wait for its turn among busy threads.
        watching = self._watchdog.watch(armed, seconds=seconds, dump=(seconds + left) / 2)
        if watching and self._tell is not None and self._watchdog.cannot_interrupt is not None:
            tell, self._tell = self._tell, None
            tell(self._watchdog.cannot_interrupt)

    def disarm(self) -> None:
        """The invocation is over; call it before its answer is given."""
        self._remaining = None
        armed = self._armed
        if armed is not None:
            armed.inside = None
            self._watchdog.stop(armed)
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


class _Armed:
    """One invocation that is being watched. A new one each time, so that nothing late reaches the next."""

    __slots__ = (
        "_again",
        "_began",
        "_deadline",
        "_patience",
        "_send_again",
        "_stage",
        "_text",
        "_wanted",
        "due",
        "ends",
        "inside",
        "interrupted",
        "passed",
        "thread",
        "times",
    )

    def __init__(self, deadline: Deadline, now: float, left: float, due: float) -> None:
        self._deadline = deadline
        self._began = now
        self.ends = now + left
        self.due = self._stage = due
        self.thread = get_ident()
        self.inside: FrameType | None = None
        """The frame that called the user's code; None while that does not run."""
        self.passed = False
        self.interrupted = False
        """Whether it was interrupted in the user's code."""
        self.times = 0
        self._wanted = False
        self._again = False
        self._send_again = _NEVER
        self._patience = _PATIENCE
        self._text = ""

    def look(self) -> float:
        """See ``Watched``; called in the watchdog's thread."""
        now = self._deadline._watchdog.ticks()
        if self._wanted:
            if self.inside is not None:
                return self._look_after(now)
            # The user's code ended by itself meanwhile; what still runs is ours.
            self._wanted = False
            self._stage = self._next_stage(now)
        elif now >= self._stage:
            late = self.passed
            self.passed = True
            self._stage = _NEVER
            if late or self.inside is not None:
                self._fire(now)
            if self._wanted:
                return now + _AGAIN
            if self._stage == _NEVER:
                self._stage = self._next_stage(now)
        return self._stage

    def _look_after(self, now: float) -> float:
        """An interruption is on its way. The next stage begins only when this one has arrived."""
        if self._again:
            self._again = False
            self._patience -= 1
            self._deadline._watchdog.interrupt(self)
        elif now >= self._send_again:
            self._send_again = now + _UNDISTURBED
            self._deadline._watchdog.interrupt(self)
        return now + _AGAIN

    def _next_stage(self, now: float) -> float:
        cannot = self._deadline._watchdog.cannot_interrupt is not None
        if self.times >= _TIMES or (self.times and cannot):
            return _NEVER
        return now + max((self.ends - now) / 2, _AGAIN)

    def _fire(self, now: float) -> None:
        deadline = self._deadline
        cannot = deadline._watchdog.cannot_interrupt
        entered = self.inside
        subject = deadline.subject()
        frames = sys._current_frames()
        if (frame := frames.get(self.thread)) is not None:
            # The dump's signal may have brought it into our own handler of that.
            frames[self.thread] = _user_of(frame)
        what = doing(frames.get(self.thread), entered, home=deadline.home)
        self._text = self.message(f"at {what}")
        firing = Firing(
            times=self.times + 1,
            doing=what,
            stacks=of_all_threads(frames, self.thread, entered),
            ran=now - self._began,
            left=self.ends - now,
            cannot_interrupt=cannot if entered is not None else "it is not in the handler's code",
            subject=subject,
        )
        # Else this thread, which waits from now on, would keep the handler's variables alive.
        ended = self.inside is not entered
        del frames, frame, entered
        if ended or deadline._watchdog.current is not self:
            # It came to its end while it was looked at: its subject may be another's, and nothing is late.
            return
        self.times += 1
        if firing.cannot_interrupt is None:
            # Before it is told: if telling blocks, the watchdog's second step interrupts in its place.
            self._send_again = now + _AGAIN
            self._wanted = True
        with suppress(Exception):  # telling must not keep the handler from being interrupted
            deadline.on_fire(firing)
        if self._wanted and self.inside is not None:
            deadline._watchdog.interrupt(self)

    def interruption(self, frame: FrameType | None) -> BaseException | None:
        """See ``Watched``; called in the handler's thread."""
        entered = self.inside
        if entered is None or not self._wanted:
            return None
        # A signal that came while an earlier one was handled is not what the handler was doing.
        frame = None if frame is None else _user_of(frame)
        # Our own frame is the innermost: the handler is about to begin, or has just returned. What is in this
        # module ends at once and must not be broken off; around it there may be a handler written in C.
        if frame is not None and frame.f_globals is globals():
            self._again = True
            return None
        # An exception that leaves __del__ is printed and dropped.
        if self._patience > 0 and (frame is entered or in_finalizer(frame, entered)):
            self._again = True
            return None
        self._wanted = self._again = False
        self.interrupted = True
        self._stage = self._next_stage(self._deadline._watchdog.ticks())
        return DeadlineExceeded(self._text)

    def message(self, what: str) -> str:
        """What to tell the handler and Lambda."""
        now = self._deadline._watchdog.ticks()
        return (
            f"interrupted after {now - self._began:.2f} s, {max(self.ends - now, 0):.2f} s before Lambda's "
            f"timeout, {what}. Give what it waits for a shorter timeout, do less per invocation, or raise "
            "the function's timeout"
        )


def _user_of(frame: FrameType) -> FrameType:
    """What ran before our handler of ``SIGALRM``, which may have been interrupted by another signal."""
    found, one = frame, frame.f_back
    if frame.f_code is Watchdog.on_signal.__code__ and one is not None:
        found = one
    while one is not None:
        if one.f_code is Watchdog.on_signal.__code__ and one.f_back is not None:
            found = one.f_back
        one = one.f_back
    return found


def _seconds(remaining: Callable[[], int] | None) -> float | None:
    """Seconds left, or None where the context does not say: a test's may hold anything."""
    if remaining is None:
        return None
    try:
        left = remaining()
    except Exception:  # noqa: BLE001
        return None
    return left / 1000 if isinstance(left, int | float) else None
