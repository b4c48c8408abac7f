"""What a long outage costs in receives: how long one may last until the first message is a dead letter.

Five orders a second come all the time, for a courier that would take ten; each may be received ten times. The
consumer is the experiment's, with its pace; a mapping takes 15 s to follow its circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import NamedTuple

from resilient_runtime.breaker import BreakerPolicy

from resilient_constructs.forecast.courier import Manner
from resilient_constructs.forecast.traffic import Phase, arrival_times

from .experiment import PLAN
from .experiment_designs import Drained, paced
from .harness import Figure, Table

__all__ = ["GOAL", "WAYS", "Endured", "Way", "endure", "figures", "run", "table"]

MINUTES = (10, 20, 30, 60)
_BEFORE, _AFTER = 200.0, 60.0
_MOST_RECEIVES = 10
# Hours of virtual time, whose figures hardly differ from one seed to the next.
_MOST_SEEDS = 2
# A courier that is well: what its own failures cost is the experiment's question.
_WELL = Manner(failing=0, slowest=4)


class Way(NamedTuple):
    """One way to meet an outage.

    :param about: in a few words
    """

    about: str
    breaker: BreakerPolicy | None
    pauses: bool = False


WAYS: Mapping[str, Way] = {
    "paused": Way("breaker, mapping paused", BreakerPolicy(), pauses=True),
    "fed": Way("breaker, mapping not paused", BreakerPolicy()),
    "none": Way("no breaker", None),
}


def endure(minutes: float, way: Way, seed: int) -> Drained:
    """One outage."""
    until = _BEFORE + 60 * minutes
    arrivals = arrival_times([Phase(duration=until + _AFTER, rate=5)], seed=seed)
    return paced(
        arrivals,
        seed=seed,
        plan=PLAN,
        manner=_WELL,
        outages=[(_BEFORE, until)],
        breaker=way.breaker,
        pauses=way.pauses,
        most_receives=_MOST_RECEIVES,
    )


GOAL = {"long_dead_lettered": 0.0, "long_max_receives": 5.0}

Endured = Mapping[tuple[str, int], list[Drained]]
"""The runs of each way and each number of minutes, one for each seed."""


def run(repeats: int, pool: Executor, tell: Callable[[str], None]) -> Endured:
    """Every outage in every way, once for each seed."""
    keys = [
        (way, minutes, seed)
        for way in WAYS
        for minutes in MINUTES
        for seed in range(min(repeats, _MOST_SEEDS))
    ]
    endured: dict[tuple[str, int], list[Drained]] = {}
    for (way, minutes, seed), one in zip(keys, pool.map(_endure, keys), strict=True):
        endured.setdefault((way, minutes), []).append(one)
        tell(f"{WAYS[way].about}, {minutes} minutes, seed {seed}: {one.max_receives} receives at most")
    return endured


def figures(endured: Endured) -> Mapping[str, Figure]:
    """The worst of all seeds; those of the paused mapping are what is promised."""
    told: dict[str, Figure] = {
        "long_dead_lettered": _dead(endured, "paused"),
        "long_max_receives": _receives(endured, "paused"),
        "long_dead_lettered_fed": _dead(endured, "fed"),
    }
    for (way, minutes), runs in endured.items():
        told[f"{way}_{minutes}_min_dead_lettered"] = max(one.dead_letters for one in runs)
        told[f"{way}_{minutes}_min_max_receives"] = max(one.max_receives for one in runs)
    return told


def table(endured: Endured) -> Table:
    """The same, for people."""
    return Table(
        title="5 orders a second, 10 receives: what an outage costs them (worst of all seeds)",
        heads=["outage", "dead letters", "receives", "calls for a delivery", "Lambda seconds for a delivery"],
        rows=[
            [
                f"{WAYS[way].about}, {minutes} min",
                max(one.dead_letters for one in runs),
                max(one.max_receives for one in runs),
                max(one.calls for one in runs),
                max(one.lambda_seconds for one in runs),
            ]
            for (way, minutes), runs in endured.items()
        ],
    )


def _endure(key: tuple[str, int, int]) -> Drained:
    way, minutes, seed = key
    return endure(minutes, WAYS[way], seed)


def _dead(endured: Endured, wanted: str) -> int:
    return max(one.dead_letters for (way, _), runs in endured.items() if way == wanted for one in runs)


def _receives(endured: Endured, wanted: str) -> int:
    return max(one.max_receives for (way, _), runs in endured.items() if way == wanted for one in runs)
