"""The reference experiment: a courier that takes ten calls a second, and the load that the article gave it.

A discrete simulation, deterministic by seed. The consumer of this library is its own runtime: batch, pacing
and returns as they run in Lambda, in virtual time. Beside it stand the article's flow control and plain
maximum concurrency. What is told of ours is the worst of all seeds, every figure; the tables show the spread.

Ours has the real breaker around its pace, with its defaults and a store in memory: one call in five fails,
and the circuit must not open for it (``circuit_changes``).

Every drain is divided by what no consumer could beat, computed for the same arrivals and the same weather
(``resilient_constructs.forecast.courier.soonest_end``).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from resilient_runtime.pace_plan import plan_pace

from resilient_constructs.forecast.courier import soonest_end
from resilient_constructs.forecast.traffic import Phase, arrival_times

from .experiment_designs import Drained, article, paced, plain, unpaced
from .harness import Figure, Result, Table

__all__ = ["LOAD", "PLAN", "run"]

LOAD = (
    Phase(duration=60, rate=2),
    Phase(duration=120, rate=3, ramp_to=5),
    Phase(duration=600, rate=4, ramp_to=15),
    Phase(duration=300, rate=15),
)
"""As the article words it."""

PLAN = plan_pace(requests_per_second=10, burst=10, typical_latency=5)
"""What ``Downstream(requests_per_second=10, burst=10, typical_latency=Duration.seconds(5))`` comes to."""

SEEDS = range(30)
# Its quarter of a million calls take longer than all the rest, and its figures hardly differ.
SEEDS_UNPACED = range(2)
GOAL = {
    "drain_ratio": 1.06,
    "share_429": 0.025,
    "max_receives": 8.0,
    "undelivered_share": 0.0,
    "circuit_changes": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Design:
    """One way to consume.

    :param about: in a few words
    """

    about: str
    seeds: range
    consume: Callable[[Sequence[float], int], Drained]


def _paced(arrivals: Sequence[float], seed: int) -> Drained:
    return paced(arrivals, seed=seed, plan=PLAN)


def _article(arrivals: Sequence[float], seed: int) -> Drained:
    return article(arrivals, seed=seed)


def _plain(arrivals: Sequence[float], seed: int) -> Drained:
    return plain(arrivals, seed=seed, slots=PLAN.max_concurrency)


def _unpaced(arrivals: Sequence[float], seed: int) -> Drained:
    return unpaced(arrivals, seed=seed, slots=PLAN.max_concurrency)


DESIGNS = {
    "ours": Design(about=f"paced, {PLAN.max_concurrency} slots", seeds=SEEDS, consume=_paced),
    "article": Design(about="10 slots that sleep between attempts", seeds=SEEDS, consume=_article),
    "plain": Design(
        about=f"{PLAN.max_concurrency} slots, returns when visibility ends", seeds=SEEDS, consume=_plain
    ),
    "unpaced": Design(
        about=f"{PLAN.max_concurrency} slots, returns after 2 to 10 s", seeds=SEEDS_UNPACED, consume=_unpaced
    ),
}


def run(repeats: int, tell: Callable[[str], None]) -> Result:  # noqa: ARG001  every run is the same
    """Run every design with every seed of its own."""
    jobs = [(name, seed) for name, design in DESIGNS.items() for seed in design.seeds]
    # The long ones first, so that no processor waits for the last one.
    jobs.sort(key=lambda job: job[0] != "unpaced")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        done = dict(zip(jobs, pool.map(_consume, *zip(*jobs, strict=True)), strict=True))
    bounds = {seed: _bound(seed) for seed in SEEDS}
    tell(f"{len(jobs)} runs done")
    measured = {
        name: [_figures(done[name, seed], bounds[seed]) for seed in design.seeds]
        for name, design in DESIGNS.items()
    }
    return _result(measured, bounds)


def _consume(name: str, seed: int) -> Drained:
    return DESIGNS[name].consume(arrival_times(LOAD, seed=seed), seed)


def _bound(seed: int) -> float:
    return soonest_end(arrival_times(LOAD, seed=seed), seed=seed)


def _figures(drained: Drained, bound: float) -> dict[str, float]:
    return {
        "drain_ratio": drained.seconds / bound,
        "share_429": drained.share_429,
        "max_receives": drained.max_receives,
        "undelivered_share": 1 - drained.delivered_share,
        "calls_per_delivery": drained.calls,
        "lambda_seconds_per_delivery": drained.lambda_seconds,
        "peak_backlog": drained.peak_backlog,
        "circuit_changes": drained.circuit_changes,
        "drain_seconds": drained.seconds,
    }


def _result(measured: Mapping[str, Sequence[Mapping[str, float]]], bounds: Mapping[int, float]) -> Result:
    ours = measured["ours"]
    worst = {key: round(max(one[key] for one in ours), 4) for key in ours[0]}
    figures: dict[str, Figure | Mapping[str, Figure]] = {
        **worst,
        "delivered_share": round(1 - worst["undelivered_share"], 6),
        "seeds": len(ours),
        "seeds_within_goal": sum(all(one[key] <= GOAL[key] for key in GOAL) for one in ours),
        "bound_seconds": round(statistics.median(bounds.values()), 1),
        "max_concurrency": PLAN.max_concurrency,
    }
    for name, runs in measured.items():
        figures[name] = _summary(runs)
    heads = ["design", "key", "best", "median", "p90", "worst"]
    rows: list[list[Figure]] = [
        [f"{name}: {DESIGNS[name].about}" if key == "drain_ratio" else "", key, *_spread(runs, key)]
        for name, runs in measured.items()
        for key in runs[0]
    ]
    per_seed = Table(
        title="Ours, seed by seed",
        heads=["seed", "bound, s", "drain, s", "ratio", "429", "receives"],
        rows=[
            [
                str(seed),
                bounds[seed],
                one["drain_seconds"],
                one["drain_ratio"],
                one["share_429"],
                int(one["max_receives"]),
            ]
            for seed, one in zip(SEEDS, ours, strict=True)
        ],
    )
    spread = Table(title="Spread over the seeds", heads=heads, rows=rows)
    return Result(name="experiment", figures=figures, goal=GOAL, tables=(per_seed, spread))


def _summary(runs: Sequence[Mapping[str, float]]) -> Mapping[str, Figure]:
    about: dict[str, Figure] = {"seeds": len(runs)}
    for key in runs[0]:
        best, median, p90, worst = _spread(runs, key)
        about |= {key: median, f"{key}_best": best, f"{key}_p90": p90, f"{key}_worst": worst}
    about["delivered_share"] = 1 - max(one["undelivered_share"] for one in runs)
    return about


def _spread(runs: Sequence[Mapping[str, float]], key: str) -> tuple[float, float, float, float]:
    values = sorted(one[key] for one in runs)
    p90 = values[-(-len(values) * 9 // 10) - 1]
    return (
        round(values[0], 4),
        round(statistics.median(values), 4),
        round(p90, 4),
        round(values[-1], 4),
    )
