"""One environment and its pacer, in a time of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from resilient_runtime import Call
from resilient_runtime.clock import Clock
from resilient_runtime.pacing import PacePolicy, Pacer
from resilient_runtime.settings import DownstreamSettings

COURIER = DownstreamSettings(name="Courier", requests_per_second=10, burst=10, max_concurrency=60)


@dataclass
class World:
    """One environment's pacer, in a time that passes only when it sleeps or is told to."""

    policy: PacePolicy = field(default_factory=PacePolicy)
    luck: float = 0.0
    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pacer = Pacer(
            self.policy,
            clock=Clock(wall=lambda: self.now, ticks=lambda: self.now),
            random=lambda: self.luck,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass, and note it."""
        self.slept.append(seconds)
        self.now += seconds

    def call(
        self,
        seconds: float = 0.0,
        error: Exception | None = None,
        *,
        left: float = 60.0,
        downstream: DownstreamSettings = COURIER,
        message_id: str | None = "m-1",
    ) -> float:
        """Make one call; returns the seconds that were waited for it."""
        before = self.now
        ends = self.now + left
        call = Call(message_id=message_id, remaining=lambda: int((ends - self.now) * 1000), margin_ms=0)
        self.pacer.enter(call, downstream)
        waited = self.now - before
        self.now += seconds
        self.pacer.leave(call, downstream, seconds, error)
        return waited
