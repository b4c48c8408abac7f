"""What was observed, put to Lambda's limits."""

from __future__ import annotations

import pytest

from resilient_constructs.soak.judging import first_to_run_out, judge_all, use_of
from resilient_constructs.soak.prediction import judge
from resilient_constructs.soak.processes import Figures
from resilient_constructs.soak.story import Observation, ResourceName

LIMITS: dict[ResourceName, float] = {"descriptors": 1024, "memory": 1 << 27, "tmp": 1 << 29, "threads": 1024}


def test_child_processes_count_as_threads_do() -> None:
    """Lambda allows so many of both together, so a handler that leaves children behind runs out of them."""
    assert use_of(Figures(threads=3, children=4), "threads") == 7
    assert use_of(Figures(threads=3), "threads") == 3
    assert use_of(Figures(children=4), "threads") is None
    seen = [Observation(figures=Figures(threads=1, children=n), seconds=0.01) for n in range(1, 101)]
    leak = first_to_run_out(judge_all(seen, LIMITS))
    assert leak is not None
    assert (leak.name, leak.outlook.fails_at) == ("threads", 1024)


def test_the_leak_that_runs_out_first_is_told() -> None:
    """Of several leaks the one counts that ends the environment."""
    seen = [
        Observation(figures=Figures(descriptors=6 + n, tmp=n << 20, threads=1), seconds=0.01)
        for n in range(1, 61)
    ]
    leak = first_to_run_out(judge_all(seen, LIMITS))
    assert leak is not None
    assert (leak.name, leak.outlook.fails_at) == ("tmp", 513)


@pytest.mark.parametrize(("tooth", "height"), [(10, 20), (20, 10)])
def test_high_teeth_are_not_averaged_away(tooth: int, height: int) -> None:
    """What waits for the collector takes room until it comes, so the forecast is at most a tooth off."""
    used = [5 + n + height * (n % tooth) for n in range(1, 6000)]
    fails_at = next(n for n, value in enumerate(used, start=1) if value > 4000)
    outlook = judge(used[: fails_at // 2], limit=4000)
    assert outlook.fails_at is not None
    assert abs(outlook.fails_at - fails_at) <= tooth
