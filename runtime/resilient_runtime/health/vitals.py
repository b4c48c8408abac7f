"""An environment's figures over time: what is normal here, what an invocation takes, and what is too much."""

from __future__ import annotations

from collections.abc import Mapping

from .judge import Course, fails_soon, over, trips
from .probe import RESOURCES, Probe, Reading

__all__ = ["Vitals"]

_REMEMBERED = 3
"""A step is the third largest growth so far: what was loaded once or twice says nothing of the next call."""

_FADES = 0.99
_STEPS_AHEAD = 2.0
_STEPS_AHEAD_OF_THE_WARY = 1.5
_WARY = 0.9
"""A share of the headroom that only an environment has which soon fills up again after each recycle. It may
just need that much; so it may come nearer to its limit, and show whether it stays below."""

_PEAK_EVERY = 16


class Vitals:
    """The figures of one interpreter's life.

    :param probe: reads them
    :param courses: what has been tried for each resource
    """

    def __init__(self, probe: Probe, courses: Mapping[str, Course]) -> None:
        self.probe = probe
        self.limits = probe.limits
        self.courses = dict(courses)
        self.fresh: Reading | None = None
        self.last = Reading()
        self._trip = Reading()
        self._growths = [[0.0] * _REMEMBERED for _ in RESOURCES]
        self._only_while_running = 0
        self._moves = 0

    def settle(self, fresh: Reading) -> None:
        """Take these figures for those of a fresh environment."""
        self.fresh = fresh
        self.last = fresh
        self.judge_anew()

    def judge_anew(self) -> None:
        """What was tried has changed from when on a resource is cured."""
        if self.fresh is not None:
            self._trip = trips(self.fresh, self.limits, self.courses)

    def observe(self, reading: Reading) -> bool:
        """Take the figures after an invocation.

        :returns: whether they call for a cure
        """
        if reading == self.last or self.fresh is None:
            return bool(over(reading, self._trip))
        for growths, now, before in zip(self._growths, reading, self.last, strict=True):
            if now is not None and before is not None and now != before:
                _remember(growths, now - before)
        self.last = reading
        self._moves += 1
        if self._moves % _PEAK_EVERY == 1:
            self._look_at_the_peak()
        return bool(self.sick(reading)[0])

    def sick(self, reading: Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The resources that want a cure, and those of them that fail within a few invocations."""
        if self.fresh is None:
            return (), ()
        soon = fails_soon(reading, self.fresh, self.limits, self._ahead())
        above = over(reading, self._trip)
        return tuple(name for name in RESOURCES if name in above or name in soon), soon

    def until_cure(self, name: str, reading: Reading) -> int:
        """How much more of a resource may be in use before it is cured."""
        used, trip = getattr(reading, name), getattr(self._trip, name)
        return 0 if used is None or trip is None else max(trip - used, 0)

    def enough(self, name: str, reading: Reading) -> int:
        """How much of a resource must be given back for it to be well for a while."""
        used, fresh, trip = (getattr(one, name) or 0 for one in (reading, self.fresh, self._trip))
        return max(used - (fresh + trip) // 2, 0)

    def _ahead(self) -> Reading:
        """What the next invocations may take."""
        ahead = [
            int(
                min(growths)
                * (_STEPS_AHEAD if self.courses[name].share < _WARY else _STEPS_AHEAD_OF_THE_WARY)
            )
            for name, growths in zip(RESOURCES, self._growths, strict=True)
        ]
        ahead[_MEMORY] += self._only_while_running
        return Reading(*ahead)

    def _look_at_the_peak(self) -> None:
        # Lambda ends a process for what it needs at its height, which is over when an invocation is.
        peak = self.probe.peak_memory() if self.limits.memory else None
        if peak is not None and self.last.memory is not None:
            self._only_while_running = max(peak - self.last.memory, 0)


def _remember(growths: list[float], growth: float) -> None:
    """Keep the largest growths, each a little less with every one that follows."""
    for index, one in enumerate(growths):
        growths[index] = one * _FADES
    least = min(growths)
    if growth > least:
        growths[growths.index(least)] = growth


_MEMORY = RESOURCES.index("memory")
