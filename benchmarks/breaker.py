"""What a breaker costs per call while all is well: ours, pybreaker and Powertools' with a store in memory.

Each guards the same function that does nothing, as a decorator, in one process; the bare call is subtracted.
They take turns, so that a machine that slows down slows all of them, and each one's fastest turn of a repeat
counts: whatever else the machine did can only add. Of the repeats the median is taken.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from resilient_runtime.breaker import Breaker, GuardedBoundary, MemoryCircuits
from resilient_runtime.call import Call
from resilient_runtime.settings import DownstreamSettings

from .harness import Result, Table

__all__ = ["run"]

CALLS, TURNS = 5_000, 20
GOAL = {"closed_ratio": 1.0}
PEERS = ("pybreaker", "powertools")

Guard = Callable[[Callable[[], None]], Callable[[], None]]


def run(repeats: int, tell: Callable[[str], None]) -> Result:
    """Measure the closed path of each; a peer that is not installed is left out."""
    contestants = {"bare": work, **{name: guard(work) for name, guard in _guards().items()}}
    contestants["ours_enter_leave"] = _enter_and_leave()
    contestants["ours_boundary"] = _boundary()
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(1, repeats + 1):
        for name, seconds in _fastest(contestants).items():
            taken[name].append(seconds)
        tell(f"repeat {repeat} of {repeats} done")
    micro = {name: statistics.median(seconds) * 1e6 for name, seconds in taken.items()}
    bare = micro.pop("bare")
    # What is driven by hand calls no function, so there is nothing to subtract but the loop it shares.
    over = {name: value if name.startswith("ours_") else value - bare for name, value in micro.items()}
    return _result(over)


def work() -> None:
    """What is guarded."""


def _guards() -> Mapping[str, Guard]:
    guards: dict[str, Guard] = {"ours": Breaker("bench", store=MemoryCircuits(), environment="bench")}
    if find_spec("pybreaker") is not None:
        import pybreaker

        guards["pybreaker"] = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)
    if find_spec("aws_lambda_powertools.utilities.circuit_breaker") is not None:
        guards["powertools"] = _powertools()
    return guards


def _powertools() -> Guard:
    from aws_lambda_powertools.utilities.circuit_breaker import circuit_breaker
    from aws_lambda_powertools.utilities.circuit_breaker.persistence.base import (
        CircuitBreakerPersistenceLayer,
    )

    class Memory(CircuitBreakerPersistenceLayer):
        """A store that has nothing and takes everything: the closed path does no more."""

        def _get_record(self, *_: Any) -> Any:
            return None

        def _put_record(self, *_: Any, **__: Any) -> None:
            pass

        def _update_record(self, *_: Any) -> None:
            pass

    guard: Guard = circuit_breaker(name="bench", persistence_store=Memory())
    return guard


def _enter_and_leave() -> Callable[[], None]:
    breaker = Breaker("bench", store=MemoryCircuits(), environment="bench")
    enter, leave = breaker.enter, breaker.leave

    def call() -> None:
        leave(0.1, None, enter())

    return call


def _boundary() -> Callable[[], None]:
    breaker = Breaker("bench", store=MemoryCircuits(), environment="bench")
    call, downstream = Call(), DownstreamSettings(name="bench")
    boundary = GuardedBoundary({"bench": breaker}, call.boundary)

    def cross() -> None:
        boundary.enter(call, downstream)
        boundary.leave(call, downstream, 0.1, None)

    return cross


def _fastest(contestants: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(TURNS):
        for name, function in contestants.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                function()
            best[name] = min(best[name], (time.perf_counter() - started) / CALLS)
    return best


def _result(over: Mapping[str, float]) -> Result:
    peers = [over[name] for name in PEERS if name in over]
    figures: dict[str, Any] = {
        "closed_ratio": round(over["ours"] / min(peers), 3) if peers else None,
        **{f"{name}_us": round(value, 3) for name, value in over.items()},
    }
    table = Table(
        title="What a breaker adds to a call while it is closed",
        heads=["breaker", "µs per call"],
        rows=[[name, value] for name, value in over.items()],
    )
    return Result(name="breaker", figures=figures, goal=GOAL, tables=[table])
