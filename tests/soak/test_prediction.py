"""The forecast by itself: leaks of every rate are found and met, what only looks like one is not."""

from __future__ import annotations

import random
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.soak.prediction import judge, sen_slope

_NOISE = st.randoms(use_true_random=False)


@given(
    base=st.integers(3, 200),
    per_call=st.integers(1, 20),
    limit=st.integers(800, 4096),
    share=st.floats(0.1, 0.95),
)
def test_an_even_leak_is_foretold_to_the_invocation(
    base: int, per_call: int, limit: int, share: float
) -> None:
    """What grows the same each time fails when the next one does not fit, and the forecast says just that."""
    fails_at = next(n for n in range(1, 10_000) if base + per_call * n > limit)
    seen = max(6, int(fails_at * share))
    outlook = judge([base + per_call * n for n in range(1, seen + 1)], limit=limit)
    assert outlook.leaks
    assert outlook.fails_at == max(fails_at, seen + 1)
    assert outlook.interval is not None
    assert outlook.interval[0] <= outlook.fails_at <= outlook.interval[1]


@given(values=st.lists(st.integers(0, 10**9), max_size=300), limit=st.integers(1, 10**9))
def test_whatever_was_seen_is_judged(values: list[int], limit: int) -> None:
    """Any series gets a verdict: the failure lies ahead, inside its interval, and only a leak has one."""
    outlook = judge(values, limit=limit)
    assert outlook.observed == len(values)
    assert outlook.leaks == (outlook.fails_at is not None) == (outlook.interval is not None)
    if outlook.fails_at is not None and outlook.interval is not None:
        assert outlook.per_call > 0
        assert len(values) < outlook.interval[0] <= outlook.fails_at <= outlook.interval[1]


@given(
    level=st.floats(1, 500),
    spread=st.floats(0, 50),
    count=st.integers(0, 400),
    noise=_NOISE,
)
def test_noise_below_the_floor_is_no_leak(
    level: float, spread: float, count: int, noise: random.Random
) -> None:
    """Use that goes up and down around a level, by less than the floor, never leaks."""
    values = [level + noise.uniform(0, spread) for _ in range(count)]
    assert not judge(values, limit=1000, floor=spread).leaks


@given(
    full=st.integers(1, 250),
    size=st.floats(0.01, 10),
    count=st.integers(1000, 1500),
)
def test_what_fills_up_and_stays_is_no_leak(full: int, size: float, count: int) -> None:
    """A cache or a pool that grows until it is full has warmed up."""
    assert not judge([5 + size * min(n, full) for n in range(count)], limit=10_000).leaks


@given(tooth=st.integers(2, 60), height=st.floats(0.5, 5), count=st.integers(600, 900))
def test_teeth_are_no_leak(tooth: int, height: float, count: int) -> None:
    """What piles up and is collected, again and again, stays where it is."""
    assert not judge([5 + height * (n % tooth) for n in range(count)], limit=1024).leaks


@given(tooth=st.integers(2, 40), per_call=st.integers(1, 3))
def test_a_leak_under_teeth_fails_with_their_tips(tooth: int, per_call: int) -> None:
    """Where part is collected and part never is, the highest tooth meets the limit first."""
    used = [5 + per_call * n + 2 * (n % tooth) for n in range(1, 4000)]
    fails_at = next(n for n, value in enumerate(used, start=1) if value > 4000)
    outlook = judge(used[: fails_at // 2], limit=4000)
    assert outlook.fails_at is not None
    assert abs(outlook.fails_at - fails_at) <= 0.05 * fails_at + tooth


def test_the_interval_holds_what_it_promises() -> None:
    """Of 300 leaks by chance, seen for a tenth of the way, nine of ten end in their interval."""
    held = 0
    for seed in range(300):
        draw = random.Random(seed)
        chance = draw.choice([0.05, 0.1, 0.3, 0.7])
        used = list(accumulate((draw.random() < chance for _ in range(30_000)), initial=6))[1:]
        fails_at = next(n for n, value in enumerate(used, start=1) if value > 1024)
        outlook = judge(used[: fails_at // 10], limit=1024, floor=3)
        assert outlook.interval is not None, f"seed {seed}: chance {chance} was not seen"
        held += outlook.interval[0] <= fails_at <= outlook.interval[1]
    assert held >= 270


def test_what_an_invocation_needs_while_it_runs_counts() -> None:
    """A handler that has a hundred more open for a moment fails a hundred invocations earlier."""
    used = [6 + n for n in range(1, 101)]
    plain, hungry = judge(used, limit=1024), judge(used, limit=1024, transient=100)
    assert plain.fails_at == 1019
    assert hungry.fails_at == 919


def test_the_slope_is_not_moved_by_a_jump() -> None:
    """One jump in an even growth leaves the rate as it is."""
    assert sen_slope([n + (50 if n > 60 else 0) for n in range(200)]) == 1
    assert sen_slope([7]) == 0
