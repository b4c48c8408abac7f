"""One invocation that is being watched: when it is looked at, told of, and interrupted."""

from __future__ import annotations

import sys
from _thread import get_ident
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from .interruption import DeadlineExceeded
from .stacks import doing, in_finalizer, of_all_threads
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .deadline import Deadline

__all__ = ["Armed", "Firing"]

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


class Armed:
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
        now = self._deadline.watchdog.ticks()
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
            self._deadline.watchdog.interrupt(self)
        elif now >= self._send_again:
            self._send_again = now + _UNDISTURBED
            self._deadline.watchdog.interrupt(self)
        return now + _AGAIN

    def _next_stage(self, now: float) -> float:
        cannot = self._deadline.watchdog.cannot_interrupt is not None
        if self.times >= _TIMES or (self.times and cannot):
            return _NEVER
        return now + max((self.ends - now) / 2, _AGAIN)

    def _fire(self, now: float) -> None:
        deadline = self._deadline
        cannot = deadline.watchdog.cannot_interrupt
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
        if ended or deadline.watchdog.current is not self:
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
            deadline.watchdog.interrupt(self)

    def interruption(self, frame: FrameType | None) -> BaseException | None:
        """See ``Watched``; called in the handler's thread."""
        entered = self.inside
        if entered is None or not self._wanted:
            return None
        # A signal that came while an earlier one was handled is not what the handler was doing.
        frame = None if frame is None else _user_of(frame)
        # Our own frame is the innermost: the handler is about to begin, or has just returned. ``enter`` and
        # ``leave`` end at once and must not be broken off; around them there may be a handler written in C.
        if frame is not None and frame.f_globals is vars(sys.modules[type(self._deadline).__module__]):
            self._again = True
            return None
        # An exception that leaves __del__ is printed and dropped.
        if self._patience > 0 and (frame is entered or in_finalizer(frame, entered)):
            self._again = True
            return None
        self._wanted = self._again = False
        self.interrupted = True
        self._stage = self._next_stage(self._deadline.watchdog.ticks())
        return DeadlineExceeded(self._text)

    def message(self, what: str) -> str:
        """What to tell the handler and Lambda."""
        now = self._deadline.watchdog.ticks()
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
