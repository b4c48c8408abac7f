"""What holds for a pace whatever happens to its environment."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pace_world import World
from resilient_runtime import SlowDown
from resilient_runtime.pacing import Pace, PacePolicy
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import Asked, NoTurn

STEPS = st.lists(
    st.tuples(
        st.floats(0, 100),  # idle before
        st.floats(0, 30),  # in the call
        st.sampled_from([None, None, None, SlowDown(), SlowDown(retry_after=5), ConnectionError()]),
    ),
    max_size=30,
)


def run_environment(seed: int, steps: Sequence[tuple[float, float, Exception | None]]) -> list[float]:
    """The moments at which one environment called."""
    dice = random.Random(seed)
    world = World(now=0.0)
    world.pacer._random = dice.random
    moments = []
    for idle, seconds, error in steps:
        world.now += idle
        try:
            world.call(seconds, error, left=1e6)
        except NoTurn:
            continue
        moments.append(world.now - seconds)
    return moments


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(), STEPS), min_size=1, max_size=8))
def test_a_fleet_never_exceeds_its_rate_and_its_credit_in_any_window(
    fleet: list[tuple[int, list[tuple[float, float, Exception | None]]]],
) -> None:
    """Whatever its environments do, n of them make at most n credits and the rate's calls in any stretch."""
    moments = sorted(moment for seed, steps in fleet for moment in run_environment(seed, steps))
    rate, credit = len(fleet) / 6, 3 * len(fleet)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= credit + rate * (moments[last] - begin) + 1e-6


@given(st.integers(), STEPS)
def test_the_pace_stays_between_its_floor_and_its_full(
    seed: int, steps: list[tuple[float, float, Exception | None]]
) -> None:
    """No story of calls makes an environment faster than its share of the rate, or stop for good."""
    world = World(now=0.0)
    world.pacer._random = random.Random(seed).random
    for idle, seconds, error in steps:
        world.now += idle
        try:
            world.call(seconds, error, left=1e6)
        except NoTurn:
            continue
        finally:
            assert 0.05 <= world.pacer.share_of("Courier") <= 1.0


@settings(deadline=None)
@given(st.integers(1, 200))
def test_every_environment_recovers_its_full_pace(refused: int) -> None:
    """However often it was refused, fifty calls that are taken bring it back."""
    world = World(PacePolicy(longest_wait=1e9))
    for _ in range(refused):
        world.call(error=SlowDown(), left=1e9)
    for _ in range(50):
        world.call(left=1e9)
    assert world.pacer.share_of("Courier") == pytest.approx(1.0)


@given(st.lists(st.floats(-100, 100), max_size=20))
def test_a_clock_that_jumps_back_earns_nothing(jumps: list[float]) -> None:
    """Turns come from time that passed, and a wait is always finite."""
    pace = Pace(rate=1.0, burst=1.0, policy=PacePolicy(), random=lambda: 0.5, now=0.0)
    now, furthest, taken = 0.0, 0.0, 0
    for jump in jumps:
        now += jump
        furthest = max(furthest, now)
        if pace.wait(now) <= 0:
            pace.take()
            pace.ended(now, None)
            taken += 1
    assert taken <= 1 + furthest + 1e-6


def test_a_turn_that_is_given_back_is_the_next_callers() -> None:
    """It was taken before its time, and so it comes no sooner than it would have come."""
    pace = Pace(rate=1.0, burst=1.0, policy=PacePolicy(), random=lambda: 0.5, now=0.0)
    pace.take()
    assert pace.wait(0.25) == pytest.approx(0.75)
    pace.take()
    pace.give_back(0.25)
    assert pace.wait(0.25) == pytest.approx(0.75)


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from(["take", "give back", "end", "429", "retry-after"])),
        max_size=60,
    )
)
def test_turns_that_are_given_back_make_no_further_calls(steps: list[tuple[float, str]]) -> None:
    """However many are taken and given back, calls stay below the rate and its credit in any stretch."""
    pace = Pace(rate=1.0, burst=1.0, policy=PacePolicy(), random=lambda: 0.5, now=0.0)
    now, under_way = 0.0, 0
    calls: list[float] = []
    for seconds, step in steps:
        now += seconds
        if step == "take":
            if pace.wait(now) <= 0:
                pace.take()
                under_way += 1
                calls.append(now)
        elif under_way:
            under_way -= 1
            if step == "give back":
                pace.give_back(now)
                calls.pop()
            else:
                asked = {"429": Asked(None), "retry-after": Asked(3.0)}.get(step)
                pace.ended(now, asked)
        assert 0.05 <= pace.share <= 1
        assert 0 <= pace.wait(now) < 1_000
    for first, begin in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= 3 + 1e-6 + (calls[last] - begin)


@settings(deadline=None)
@given(
    st.floats(0.001, 10_000),
    st.integers(1, 1_000),
    st.integers(),
    st.lists(st.tuples(st.floats(0, 1_000), st.floats(0, 30), st.booleans()), max_size=20),
)
def test_an_environment_keeps_to_its_share_of_any_rate(
    rate: float, callers: int, seed: int, steps: list[tuple[float, float, bool]]
) -> None:
    """From a call in a quarter of an hour to thousands a second: never more than the share and its credit."""
    downstream = DownstreamSettings(name="Courier", requests_per_second=rate, max_concurrency=callers)
    world = World(now=0.0)
    world.pacer._random = random.Random(seed).random
    moments = []
    for idle, seconds, slow in steps:
        world.now += idle
        try:
            world.call(seconds, SlowDown() if slow else None, left=1e9, downstream=downstream)
        except NoTurn:
            continue
        moments.append(world.now - seconds)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= 3 + rate / callers * (moments[last] - begin) * (1 + 1e-9) + 1e-6
