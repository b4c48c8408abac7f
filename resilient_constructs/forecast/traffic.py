"""Traffic as a list of phases, in the words of Artillery, and the moments at which requests arrive.

https://www.artillery.io/docs/reference/test-script#phases---load-phases
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Phase", "arrival_times"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A stretch of time with one pattern of arrivals.

    :param duration: seconds it lasts
    :param rate: arrivals per second at its beginning
    :param ramp_to: arrivals per second at its end. Default: as at its beginning
    :param count: a fixed number of arrivals, evenly spread, instead of a rate
    :param poisson: whether arrivals are random instead of evenly spaced
    :param name: how the report calls it
    """

    duration: float
    rate: float = 0.0
    ramp_to: float | None = None
    count: int | None = None
    poisson: bool = False
    name: str = ""

    @property
    def expected(self) -> float:
        """How many arrivals the phase brings on average."""
        if self.count is not None:
            return float(self.count)
        return (self.rate + self._end) / 2 * self.duration

    @property
    def _end(self) -> float:
        return self.rate if self.ramp_to is None else self.ramp_to

    def when(self, arrivals: float) -> float:
        """Seconds into the phase at which ``arrivals`` have come: the inverse of the cumulated rate."""
        if self.count is not None:
            return arrivals / self.count * self.duration
        slope = (self._end - self.rate) / self.duration
        # The stable form of the quadratic formula: it has no division by the slope, which may be zero.
        root = math.sqrt(max(0.0, self.rate * self.rate + 2 * slope * arrivals))
        return 2 * arrivals / (self.rate + root)


def arrival_times(phases: Sequence[Phase], *, seed: int = 0) -> tuple[float, ...]:
    """Seconds after the start at which requests arrive, in order; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 (traffic, not cryptography)
    times: list[float] = []
    begin = 0.0
    for phase in phases:
        times.extend(begin + at for at in _arrivals(phase, dice))
        begin += phase.duration
    return tuple(times)


def _arrivals(phase: Phase, dice: random.Random) -> Iterator[float]:
    """Arrival times within one phase, by the cumulated rate: even steps of it, or exponential ones."""
    # A rate of 3/s for 10 s is 30 arrivals, even where floating point makes it 29.999…
    expected = phase.expected + 1e-9
    arrived = dice.expovariate(1.0) if phase.poisson else 0.0
    while arrived < expected and (phase.poisson or arrived + 1 <= expected):
        yield min(phase.when(arrived) if arrived else 0.0, phase.duration)
        arrived += dice.expovariate(1.0) if phase.poisson else 1.0
