"""Virtual time: events in the order of their moments, and real code that sleeps in it.

Two kinds of things happen. An event is a function that is called at its moment and takes no time. Work is a
function that takes time: it runs in a thread of its own and calls ``Engine.sleep`` where it would wait. Only
one thread ever runs, and who is next depends on the events alone, so a run is as repeatable as without them.

The road not taken is to write whatever takes time as generators: the code that runs in Lambda is written as
plain functions, and it is that code, not a second version of it, that is to be judged. A change from one
thread to another takes 4 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from threading import Lock, Thread
from types import TracebackType

from resilient_runtime.clock import Clock

__all__ = ["Engine"]

Event = Callable[[], object]


class _Abandoned(BaseException):
    """The run is over, and this piece of work with it."""


class Engine:
    """Runs events and work in virtual time. A context manager: leaving it ends its threads.

    :ivar now: seconds since the beginning
    :param epoch: what wall clocks show at the beginning, in seconds since 1970
    """

    def __init__(self, *, epoch: float = 1_800_000_000.0) -> None:
        self.now = 0.0
        self._epoch = epoch
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0
        self._idle: list[_Worker] = []
        self._workers: list[_Worker] = []
        self._current: _Worker | None = None
        self._baton = Lock()
        self._baton.acquire()
        self._error: BaseException | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.abandoned = True
            self._hand_to(worker)
            worker.join()

    @property
    def clock(self) -> Clock:
        """The virtual time, as the runtime takes it."""
        return Clock(wall=lambda: self._epoch + self.now, ticks=lambda: self.now)

    def at(self, moment: float, event: Event) -> None:
        """Have ``event`` called at a moment; those of the same moment in the order they were told.

        :raises ValueError: when the moment is over
        """
        if moment < self.now:
            raise ValueError(f"an event at {moment!r}, but it is {self.now!r} already")
        self._count += 1
        heappush(self._events, (moment, self._count, event))

    def after(self, seconds: float, event: Event) -> None:
        """Have ``event`` called in so many seconds."""
        self._count += 1
        heappush(self._events, (self.now + seconds, self._count, event))

    def start(self, work: Callable[[], object]) -> None:
        """Begin work that takes time, now: it runs until it first sleeps."""
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = _Worker(self)
            self._workers.append(worker)
            worker.start()
        worker.work = work
        if self._current is None:
            self._hand_to(worker)
        else:
            # Work that begins other work goes on first, to its own next sleep.
            self.after(0.0, lambda: self._hand_to(worker))

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass for the work that calls it.

        :raises RuntimeError: when nothing that ``start`` began calls it
        """
        worker = self._current
        if worker is None:
            raise RuntimeError("only work that start() began can sleep; an event takes no time")
        if seconds <= 0:
            return
        self.after(seconds, lambda: self._hand_to(worker))
        worker.wait_for_baton()

    def run(self, until: float | None = None) -> None:
        """Let everything happen that is to happen, or everything until a moment.

        :raises BaseException: what an event or work raised; the run is over then
        """
        events = self._events
        while events and (until is None or events[0][0] <= until):
            self.now, _, event = heappop(events)
            event()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
        if until is not None:
            self.now = max(self.now, until)

    def _hand_to(self, worker: _Worker) -> None:
        """Let a worker run until it sleeps or is done."""
        self._current = worker
        worker.turn.release()
        self._baton.acquire()
        self._current = None

    # What follows runs in the worker's thread.

    def give_back(self) -> None:
        """The worker that runs sleeps, or is done."""
        self._baton.release()

    def done(self, worker: _Worker, error: BaseException | None) -> None:
        """A worker's work has ended."""
        if error is not None:
            self._error = error
        self._idle.append(worker)


class _Worker(Thread):
    """A thread that does one piece of work after the other, and only while it has the baton."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(name="forecast", daemon=True)
        self._engine = engine
        self.work: Callable[[], object] | None = None
        self.abandoned = False
        self.turn = Lock()
        self.turn.acquire()

    def run(self) -> None:
        """Wait for work, do it, and wait again."""
        self.turn.acquire()
        while not self.abandoned:
            self._engine.done(self, self._do())
            if self.abandoned:
                break
            self._engine.give_back()
            self.turn.acquire()
        self._engine.give_back()

    def wait_for_baton(self) -> None:
        """Sleep, until the engine says that it is time."""
        if not self.abandoned:
            self._engine.give_back()
            self.turn.acquire()
        if self.abandoned:
            raise _Abandoned

    def _do(self) -> BaseException | None:
        work, self.work = self.work, None
        try:
            if work is not None:
                work()
        except _Abandoned:
            return None
        except BaseException as error:  # noqa: BLE001  the engine raises it, in its caller's thread
            return error
        return None
