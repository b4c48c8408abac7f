"""The second run, which finds out who leaves what behind."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import SoakError
from .judging import use_of
from .orders import Orders, ask
from .story import Culprit, Observation, Progress, Resource, ResourceName

__all__ = ["explain"]

_WARM_UP = 5
_MOST_EXPLAINING = 200
_MOST_TRACED = 50
# Watching allocations makes a handler many times slower; a few invocations tell the line as well as many.
_LONGEST = 2.0
_FEWEST = 10


def explain(
    orders: Orders, leak: Resource, watch: Callable[[Progress], None], notes: list[str]
) -> tuple[int, list[Culprit], dict[ResourceName, float]]:
    """Who leaves what behind, and what an invocation needs while it runs."""
    most_watched = _MOST_TRACED if leak.name == "memory" else _MOST_EXPLAINING
    most = min(most_watched, max(20, len(leak.values)), max(1, (leak.outlook.fails_at or 1) // 2))
    transients: dict[ResourceName, float] = {}
    try:
        with orders.environment(explain=True) as environment:
            for _ in range(min(_WARM_UP, most)):
                environment.invoke(orders.event)
            ask(environment, "baseline")
            done = 0
            reply = None
            ends = time.monotonic() + _LONGEST
            while done < most and (done < _FEWEST or time.monotonic() < ends):
                reply = environment.invoke(orders.event)
                if reply.error is not None:
                    break
                done += 1
                observation = Observation(figures=reply.figures, seconds=reply.seconds)
                watch(Progress(phase="explaining", done=done, wanted=most, last=observation))
            said = ask(environment, "explain")
    except SoakError as error:
        notes.append(f"what leaks could not be told: {error}")
        return 0, [], transients
    for name in ("descriptors", "tmp"):
        left = use_of(reply.figures, name) if reply else None
        if left is not None and said["peak"][name]:
            transients[name] = max(0, said["peak"][name] - left)
    culprits = [
        Culprit(what=one["what"], where=one["where"], count=one["count"], size=one.get("bytes", 0))
        for one in said[leak.name]
    ]
    return done, culprits, transients
