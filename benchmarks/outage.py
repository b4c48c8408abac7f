"""What an outage of ten minutes costs: with our breaker, with Powertools' and without any.

Fifty environments take messages from one queue, 10 or 100 new ones a second; what is not done comes back on
top of these: ours when it says so, the others' after their visibility timeout. No mapping is paused: the
breaker alone is the harder case. Ours is the whole runtime; both breakers have their defaults, and their own
stores. Each repeat is another seed, the same for all three; a figure is the same whenever it is measured.

Longer outages, paused and not, are beside it (``outage_long``): what they cost a message in receives.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from resilient_runtime.breaker import BreakerPolicy

from . import outage_long
from .harness import Result, Table
from .outage_sides import Side, none, ours, powertools, simulated_powertools
from .outage_world import Load, World

__all__ = ["Ran", "measure", "run", "true_at"]

POLICY = BreakerPolicy()
LOADS = {
    "10/s": Load(per_second=10),
    "100/s": Load(per_second=100),
    # Nothing refuses: a call waits for its timeout, and keeps its environment busy for as long.
    "10/s, hanging": Load(per_second=10, bad_seconds=10),
}
COMPARED = ("10/s", "100/s")
SIDES: Mapping[str, Callable[[], Side]] = {
    "ours": lambda: ours(POLICY),
    "powertools": powertools,
    "none": none,
}
GOAL = {
    "calls_ratio_powertools": 0.333,
    "calls_over_bound": 0.0,
    "seconds_to_open": 5.0,
    "seconds_to_close_after_heal": POLICY.longest_recovery_seconds + 10,
    "seconds_to_close_after_recovery_time": 10.0,
    "dead_lettered": 0.0,
    **outage_long.GOAL,
}


class Ran(NamedTuple):
    """What became of one run.

    :ivar sent: calls that began while the courier was down
    :ivar probes: those of them that were elected to try
    :ivar to_open: seconds from when the failure rate was true until the circuit opened
    :ivar to_close: seconds from when the courier was well until the circuit closed
    :ivar probing: how many of these seconds came after the recovery time
    :ivar lost: messages that were not done in the end
    """

    sent: int
    probes: int
    to_open: float | None
    to_close: float | None
    probing: float | None
    dead_lettered: int
    lost: int
    most_receives: int
    reads: int
    writes: int


Key = tuple[str, str, int]


def run(repeats: int, tell: Callable[[str], None]) -> Result:
    """Simulate every load on every side, once for each seed."""
    keys = [(load, side, seed) for seed in range(repeats) for load in LOADS for side in SIDES]
    ran: dict[Key, Ran] = {}
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        endured = outage_long.run(repeats, pool, tell)
        for key, one in zip(keys, pool.map(_measure, keys), strict=True):
            ran[key] = one
            tell(f"{key[1]} at {key[0]}, seed {key[2]}: {one.sent:,} calls into the outage")
    return _result(ran, endured)


def measure(load: Load, side: Side, seed: int) -> Ran:
    """One run."""
    world = World(load, side.start, seed)
    with simulated_powertools(world):
        world.run()
    down, healed = load.before, load.healed
    opened = _first(side.changes, {"OPEN"}, down)
    closed = _first(side.changes, {"CLOSED"}, healed)
    half = _first(side.changes, {"HALF_OPEN"}, healed)
    true = true_at(world.ended, down, POLICY)
    return Ran(
        sent=world.sent_into_the_outage(),
        probes=sum(to == "HALF_OPEN" and down <= at < healed for at, to in side.changes),
        to_open=None if opened is None or true is None else max(opened - true, 0.0),
        to_close=None if closed is None else closed - healed,
        probing=None if closed is None or half is None else closed - half,
        dead_lettered=world.dead_lettered,
        lost=world.arrived - world.completed - world.dead_lettered,
        most_receives=world.most_receives,
        reads=side.table.reads,
        writes=side.table.writes,
    )


def true_at(ended: Iterable[tuple[float, bool]], since: float, policy: BreakerPolicy) -> float | None:
    """When somebody who sees all calls of all environments would know that the failure rate is reached.

    :param ended: when each call ended, in order, and whether it failed
    :param since: when the outage began
    """
    window: deque[tuple[float, bool]] = deque()
    for at, failed in ended:
        window.append((at, failed))
        while window[0][0] <= at - policy.window_seconds:
            window.popleft()
        if at < since:
            continue
        latest = [bad for _, bad in window][-policy.outage_calls :]
        if len(latest) >= policy.outage_calls and sum(latest) >= policy.outage_rate * len(latest):
            return at
        failures = sum(bad for _, bad in window)
        if len(window) >= policy.minimum_calls and failures >= policy.failure_rate * len(window):
            return at
    return None


def _measure(key: Key) -> Ran:
    load, side, seed = key
    return measure(LOADS[load], SIDES[side](), seed)


def _first(changes: Sequence[tuple[float, str]], states: set[str], after: float) -> float | None:
    return next((at for at, to in changes if to in states and at >= after), None)


def _result(ran: Mapping[Key, Ran], endured: outage_long.Endured) -> Result:
    def of(load: str, side: str) -> list[Ran]:
        return [one for (its_load, its_side, _), one in ran.items() if (its_load, its_side) == (load, side)]

    def sent(load: str, side: str) -> float:
        runs = of(load, side)
        return sum(one.sent for one in runs) / len(runs)

    mine = [one for load in LOADS for one in of(load, "ours")]
    bound = POLICY.outage_calls + LOADS["10/s"].environments
    ratios = {load: sent(load, "ours") / sent(load, "powertools") for load in LOADS}
    figures: dict[str, Any] = {
        "calls_ratio_powertools": round(max(ratios[load] for load in COMPARED), 3),
        "calls_bound": bound,
        "calls_over_bound": max(max(one.sent - one.probes - bound for one in mine), 0),
        "seconds_to_open": _worst(one.to_open for one in mine),
        "seconds_to_close_after_heal": _worst(one.to_close for one in mine),
        "seconds_to_close_after_recovery_time": _worst(one.probing for one in mine),
        "dead_lettered": sum(one.dead_lettered + one.lost for one in mine),
    }
    rows: list[list[Any]] = []
    for load in LOADS:
        name = load.replace("/s", "").replace(", ", "_")
        figures[f"fewer_calls_than_powertools_{name}"] = round(1 / ratios[load], 2)
        for side in SIDES:
            runs = of(load, side)
            figures[f"{side}_{name}_calls"] = round(sent(load, side), 1)
            rows.append([f"{side} at {load}", *_row(runs, sent(load, side))])
    heads = ["side", "calls", "probes", "to open", "to close", "worst", "dead", "receives", "reads", "writes"]
    title = "Courier down for 600 s, 50 environments: calls into the outage, seconds (mean; worst to close)"
    tables = [Table(title=title, heads=heads, rows=rows), outage_long.table(endured)]
    return Result(
        name="outage", figures={**figures, **outage_long.figures(endured)}, goal=GOAL, tables=tables
    )


def _row(runs: Sequence[Ran], sent: float) -> list[Any]:
    return [
        sent,
        sum(one.probes for one in runs) / len(runs),
        _mean(one.to_open for one in runs),
        _mean(one.to_close for one in runs),
        _worst(one.to_close for one in runs),
        sum(one.dead_lettered + one.lost for one in runs),
        max(one.most_receives for one in runs),
        max(one.reads for one in runs),
        max(one.writes for one in runs),
    ]


def _worst(values: Iterable[float | None]) -> float | None:
    """The largest; None when one was not measured, as it may be the worst."""
    known = list(values)
    return None if None in known else round(max(one for one in known if one is not None), 2)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None
