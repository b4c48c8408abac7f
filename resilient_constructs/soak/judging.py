"""Lambda's limits put to what was observed: which resource leaks, and which one runs out first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from .prediction import Outlook, judge
from .processes import Figures
from .story import RESOURCES, Observation, Resource, ResourceName

__all__ = ["PROCESSES_AND_THREADS", "first_to_run_out", "judge_all", "longest_life", "use_of"]

PROCESSES_AND_THREADS = 1024
"""Processes and threads of one environment: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_MB = 1 << 20
# Growth that is none: a descriptor or two come and go with an import; a file system has no noise at all.
_FLOORS: Mapping[ResourceName, float] = {"descriptors": 3, "tmp": 3 * 4096, "threads": 3}
# Of memory the kernel counts in batches and allocators take arenas, so little growth says nothing.
_LEAST_MEMORY = 1 * _MB
_LEAST_SHARE = 0.015


def use_of(figures: Figures, name: ResourceName) -> int | None:
    """One resource out of the figures."""
    if name == "threads":
        return None if figures.threads is None else figures.threads + (figures.children or 0)
    value: int | None = getattr(figures, name)
    return value


def judge_all(
    observations: Sequence[Observation],
    limits: Mapping[ResourceName, float],
    *,
    transients: Mapping[ResourceName, float] | None = None,
) -> dict[ResourceName, Resource]:
    """Each resource with its outlook.

    :param transients: what an invocation uses while it runs, where that is known better than from outside
    """
    return {
        name: _resource(name, observations, limits[name], (transients or {}).get(name)) for name in RESOURCES
    }


def longest_life(observations: Sequence[Observation]) -> Sequence[Observation]:
    """The longest stretch in which one interpreter served, where it was recycled in between."""
    edges = [0, *_changes(observations), len(observations)]
    start, end = max(pairwise(edges), key=lambda edge: edge[1] - edge[0])
    return observations[start:end]


def _changes(observations: Sequence[Observation]) -> list[int]:
    lives = [(one.figures.process, one.figures.image) for one in observations]
    return [at for at, (before, now) in enumerate(pairwise(lives), start=1) if before != now]


def first_to_run_out(resources: Mapping[ResourceName, Resource]) -> Resource | None:
    """The leaking resource that fails first, None where none leaks."""
    leaking = [one for one in resources.values() if one.outlook.leaks]
    return min(leaking, key=lambda one: one.outlook.fails_at or 0, default=None)


def _resource(
    name: ResourceName, observations: Sequence[Observation], limit: float, transient: float | None
) -> Resource:
    values = [use_of(one.figures, name) for one in observations]
    seen: list[float] = [value for value in values if value is not None]
    if not seen:
        outlook = Outlook(leaks=False, per_call=0.0, fails_at=None, interval=None, observed=0)
        return Resource(name=name, limit=limit, values=values, outlook=outlook)
    if transient is None:
        transient = _memory_while_running(observations) if name == "memory" else 0.0
    floor = _FLOORS.get(name) or max(_LEAST_MEMORY, _LEAST_SHARE * (limit - median(seen)))
    outlook = judge(seen, limit=limit, transient=transient, floor=floor)
    return Resource(name=name, limit=limit, values=values, outlook=outlook)


def _memory_while_running(observations: Sequence[Observation]) -> float:
    """How much higher the peak of an invocation is than what it leaves behind; warming up is left out."""
    tail = observations[len(observations) // 4 :]
    above = sorted(
        max(0, one.figures.peak - one.figures.memory)
        for one in tail
        if one.figures.peak is not None and one.figures.memory is not None
    )
    return float(above[int(0.9 * (len(above) - 1))]) if above else 0.0
