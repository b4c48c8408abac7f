"""Looks at an invocation when its time is nearly up, and can interrupt Python's main thread.

One sleeping thread per execution environment, not one timer per invocation: it wakes when the earliest
possible deadline is due, which is about once per function timeout, however many invocations there were
between. So an invocation pays for two attribute writes and one ``setitimer``, not for a thread (144 µs,
measured).

Python that is stuck in C code which keeps the interpreter lock can run no thread and no signal handler of
ours. For that alone there is a second step a little later: ``SIGALRM``, at which ``faulthandler`` writes the
main thread's stack to descriptor 2, from C. It is not the first step, because it reads frames that may be
changing: measured on CPython 3.11, dumping a main thread that runs Python code crashed the process once in
about a thousand times, dumping all of several busy threads more often than once in a hundred; so it has the
main thread alone. Where Python runs, the thread comes first and calls the dump off; where the lock is held,
no frame changes.
https://docs.python.org/3/library/faulthandler.html#dumping-the-tracebacks-on-a-user-signal
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import time

# Bound when this is imported: a handler that has gevent patch the module would make our thread a greenlet.
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

__all__ = ["WATCHDOG", "Signals", "Watchdog", "Watched"]

_TURN = 0.001
_SHORTEST_PAUSE = 0.005
_LONGEST_PAUSE = 3600.0
_NOT_MAIN = "the handler does not run in Python's main thread, the only one that can be interrupted"


class Watched(Protocol):
    """One invocation, as the watchdog sees it."""

    thread: int
    """The thread that the invocation runs in."""

    due: float
    """When to look at it, in the clock's ticks."""

    def look(self) -> float:
        """It is due: do what is to be done, and say when to look again, in the clock's ticks."""

    def interruption(self, frame: FrameType | None) -> BaseException | None:
        """What to raise in the thread that is at ``frame``; None when this is not the moment."""


class Signals:
    """The process's one ``SIGALRM`` and its one interval timer; tests hand in others.

    ``signal`` itself is not imported: its enums make asking for the present handler cost 1.8 µs, 60 times as
    much as the C function beneath.
    """

    def __init__(self) -> None:
        self._c: Any = importlib.import_module("_signal")
        self._dumps = False
        self.offered = all(
            hasattr(self._c, name) for name in ("SIGALRM", "setitimer", "pthread_kill")
        ) and hasattr(faulthandler, "register")

    def claim(self, handler: Callable[[int, FrameType | None], None], *, anew: bool = False) -> str | None:
        """Make ``SIGALRM`` ours if it is free.

        :param anew: whether also if it is ours already: only the main thread can do that
        :returns: None when it is ours, else why not
        """
        if not self.offered:
            return "this operating system has no SIGALRM"
        present = self._c.getsignal(self._c.SIGALRM)
        if present == handler:
            if not anew:
                return None
        elif present is None:
            return "SIGALRM has a handler already, in C code"
        elif callable(present):
            owner = f"{getattr(present, '__module__', '?')}.{getattr(present, '__qualname__', present)}"
            return f"SIGALRM has a handler already, {owner}"
        self._dumps = False
        try:
            self._c.signal(self._c.SIGALRM, handler)
        except ValueError:
            return _NOT_MAIN
        return None

    def is_ours(self, handler: Callable[[int, FrameType | None], None]) -> bool:
        """Whether ``SIGALRM`` still comes to ``handler``."""
        return bool(self._c.getsignal(self._c.SIGALRM) == handler)

    def dump_in(self, seconds: float) -> None:
        """Have the main thread's stack written in ``seconds``, unless it is called off."""
        if not self._dumps:
            self.renew()
        self._c.setitimer(self._c.ITIMER_REAL, seconds)

    def no_dump(self) -> None:
        """Call the dump off."""
        self._c.setitimer(self._c.ITIMER_REAL, 0)

    def renew(self) -> None:
        """Put the dump before Python's handler, again if it is not known to be there.

        A handler that borrows ``SIGALRM`` and gives it back throws the dump out, and nothing tells.
        """
        faulthandler.unregister(self._c.SIGALRM)
        faulthandler.register(self._c.SIGALRM, file=2, all_threads=False, chain=True)
        self._dumps = True

    def interrupt(self, thread: int) -> None:
        """Have the handler of ``SIGALRM`` called in the main thread, without a dump, and its waiting end."""
        self.no_dump()
        faulthandler.unregister(self._c.SIGALRM)
        self._dumps = False
        self._c.pthread_kill(thread, self._c.SIGALRM)


class Watchdog:
    """Watches one invocation at a time, for one process.

    :param signals: the process's signals
    :param ticks: the time
    :param start: starts a thread
    """

    def __init__(
        self,
        *,
        signals: Signals | None = None,
        ticks: Callable[[], float] = time.perf_counter,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.ticks = ticks
        self.current: Watched | None = None
        self.cannot_interrupt: str | None = None
        """Why the invocation being watched cannot be interrupted; None when it can."""
        self._signals = signals or Signals()
        self._handler = self.on_signal
        self._start = start or _start
        self._main: int | None = None
        self._running = False
        self._pause = 0.0
        self._wakes = 0.0
        self._bell = allocate_lock()
        self._bell.acquire()

    def watch(self, watched: Watched, *, seconds: float, dump: float) -> bool:
        """Look at ``watched`` in ``seconds``; have its stack dumped in ``dump`` if that has not worked.

        :returns: False when another invocation is being watched, around this one
        """
        if self.current is not None:
            return False
        self.cannot_interrupt = self._claim(watched.thread)
        self._pause = seconds
        self.current = watched
        if self.cannot_interrupt is None:
            self._signals.dump_in(dump)
        if not self._running:
            self._start(self._run)
            self._running = True
        elif watched.due < self._wakes:
            self._ring()
        return True

    def stop(self, watched: Watched) -> None:
        """The invocation is over. Nothing of it can reach the next one."""
        if self.current is watched:
            self.current = None
            if self.cannot_interrupt is None:
                # Real time goes on while Lambda freezes the environment: a timer left would fire at the thaw.
                self._signals.no_dump()

    def interrupt(self, watched: Watched) -> None:
        """Raise in the invocation's thread what ``watched.interruption`` says, if it is still the one."""
        if (
            self.current is watched
            and self.cannot_interrupt is None
            # The handler may have borrowed the signal since; then this would end up there.
            and self._signals.is_ours(self._handler)
        ):
            self._signals.interrupt(watched.thread)

    def on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Python's handler of ``SIGALRM``: runs in the main thread, between two steps of whatever it does."""
        watched = self.current
        if watched is not None:
            if watched.due <= self.ticks():
                # C code that looks for signals but keeps the lock: the thread must have its turn.
                time.sleep(_TURN)
            error = watched.interruption(frame)
            if error is not None:
                try:
                    raise error
                finally:
                    # Its traceback holds this frame: a cycle would keep all that the handler has open.
                    del error, frame

    def look(self) -> float:
        """Do what is due.

        :returns: seconds until there may be more to do
        """
        while True:
            watched = self.current
            now = self.ticks()
            if watched is None:
                # No invocation that begins from now on is due any sooner.
                pause = self._pause
                self._renew()
            else:
                if watched.due <= now:
                    watched.due = watched.look()
                    now = self.ticks()
                    self._call_off(watched)
                pause = max(watched.due - now, _SHORTEST_PAUSE)
            # Said first, then looked again: whoever arms meanwhile either sees it and rings, or is seen here.
            self._wakes = now + pause
            if self.current is watched:
                return pause

    def _renew(self) -> None:
        """Here, once per function timeout, and not at each invocation: it takes 0.7 µs."""
        if self._main is not None and self._signals.is_ours(self._handler):
            self._signals.renew()

    def _call_off(self, watched: Watched) -> None:
        """This thread ran, so nothing holds the interpreter lock, and a dump would read moving frames."""
        if self.current is watched and self.cannot_interrupt is None:
            self._signals.no_dump()

    def _run(self) -> None:
        while True:
            self._bell.acquire(timeout=min(self.look(), _LONGEST_PAUSE))

    def _ring(self) -> None:
        try:
            self._bell.release()
        except RuntimeError:
            return  # it has rung and was not heard yet

    def _claim(self, thread: int) -> str | None:
        if self._main is None:
            why = self._signals.claim(self._handler, anew=True)
            if why is None:
                self._main = thread
            return why
        return self._signals.claim(self._handler) if self._main == thread else _NOT_MAIN

    def forked(self) -> None:
        """A child has its parent's memory, but neither its thread nor its timer."""
        self.current = None
        self._main = None
        self._running = False
        self._bell = allocate_lock()
        self._bell.acquire()


def _start(run: Callable[[], None]) -> None:
    start_new_thread(run, ())


WATCHDOG = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHDOG.forked)
