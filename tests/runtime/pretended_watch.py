"""A deadline whose time and signals are the test's own."""

from __future__ import annotations

import sys
from types import FrameType

from resilient_runtime.clock import Clock
from resilient_runtime.deadline import Deadline, Firing
from resilient_runtime.watchdog import Watchdog


class PretendedSignals:
    """Signals that only the test sends."""

    def __init__(self, refuse: str | None = None) -> None:
        self.refuse = refuse
        self.dump: float | None = None
        self.sent = 0
        self.mine = True

    def claim(self, handler: object, *, anew: bool = False) -> str | None:
        """Ours, unless the test says otherwise."""
        return self.refuse

    def is_ours(self, handler: object) -> bool:
        """Whether it still is."""
        return self.mine

    def dump_in(self, seconds: float) -> None:
        """Noted."""
        self.dump = seconds

    def no_dump(self) -> None:
        """Noted."""
        self.dump = None

    def renew(self) -> None:
        """Nothing."""

    def interrupt(self, thread: int) -> None:
        """Counted, and delivered when the test says so."""
        self.dump = None
        self.sent += 1


class World:
    """A deadline in a world whose time stands still until it is moved."""

    def __init__(self, setting: float | None = None, refuse: str | None = None) -> None:
        self.now = 1000.0
        self.ends = 0.0
        self.signals = PretendedSignals(refuse)
        self.watchdog = Watchdog(
            signals=self.signals,  # type: ignore[arg-type]
            ticks=lambda: self.now,
            start=lambda run: None,
        )
        self.firings: list[Firing] = []
        self.told: list[str] = []
        self.deadline = Deadline(
            setting=setting, on_fire=self.firings.append, watchdog=self.watchdog, tell=self.told.append
        )

    @property
    def clock(self) -> Clock:
        """The world's time as the runtime takes it."""
        return Clock(wall=lambda: self.now, ticks=lambda: self.now)

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds

    def remaining(self) -> int:
        """Milliseconds left, as Lambda's context tells them."""
        return round((self.ends - self.now) * 1000)

    def begin(self, seconds: float) -> None:
        """An invocation of so many seconds begins."""
        self.ends = self.now + seconds
        self.deadline.arm(self.remaining)

    def move(self, seconds: float) -> None:
        """Time passes, and the watchdog wakes."""
        self.now += seconds
        self.watchdog.look()

    def signal(self, frame: FrameType | None = None) -> None:
        """The operating system delivers what was sent, while the handler is at ``frame``."""
        if self.signals.sent:
            self.signals.sent = 0
            self.watchdog.on_signal(14, frame)


def in_handler() -> FrameType:
    """A frame that is the handler's."""
    return sys._getframe()
