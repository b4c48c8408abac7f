"""The courier's token bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.demo.bucket import TokenBucket

gaps = st.lists(st.floats(min_value=0, max_value=5), max_size=200)


def admitted(bucket: TokenBucket, gaps: list[float]) -> list[float]:
    """The moments at which a call was admitted."""
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        bucket, wait = bucket.take(now)
        if wait == 0:
            times.append(now)
    return times


@given(gaps=gaps, rate=st.floats(min_value=0.1, max_value=50), burst=st.integers(min_value=1, max_value=20))
def test_no_window_admits_more_than_burst_plus_rate(gaps: list[float], rate: float, burst: int) -> None:
    """In any stretch of time it admits at most the burst and what flowed in meanwhile."""
    times = admitted(TokenBucket(rate=rate, burst=burst), gaps)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + rate * (times[last] - times[first]) + 1e-6


@given(gaps=gaps)
def test_waiting_as_long_as_told_is_enough(gaps: list[float]) -> None:
    """Whoever comes back after the time it was told is admitted."""
    bucket, now = TokenBucket(rate=10, burst=10), 0.0
    for gap in gaps:
        now += gap
        bucket, wait = bucket.take(now)
        if wait:
            _, again = bucket.take(now + wait + 1e-9)
            assert again == 0


@given(gaps=gaps)
def test_a_full_bucket_admits_the_whole_burst_at_once(gaps: list[float]) -> None:
    """After enough quiet time the next ten calls are admitted together and the eleventh is not."""
    bucket, now = TokenBucket(rate=10, burst=10), 0.0
    for gap in gaps:
        now += gap
        bucket, _ = bucket.take(now)
    now += 1.001
    waits = []
    for _ in range(11):
        bucket, wait = bucket.take(now)
        waits.append(wait)
    assert waits[:10] == [0.0] * 10
    assert waits[10] > 0


def test_a_clock_that_runs_backwards_gives_no_tokens() -> None:
    """Going back in time neither refills the bucket nor empties it."""
    bucket, _ = TokenBucket(rate=1, burst=1).take(100.0)
    bucket, wait = bucket.take(0.0)
    assert wait == pytest.approx(1.0)
    assert bucket.take(101.0)[1] == 0.0


@pytest.mark.parametrize(
    ("rate", "burst", "named"), [(0, 1, "rate"), (-1, 1, "rate"), (1, 0, "burst"), (float("nan"), 1, "rate")]
)
def test_an_impossible_bucket_is_refused(rate: float, burst: float, named: str) -> None:
    """A rate that is not above zero or a burst below one is refused by name."""
    with pytest.raises(ValueError, match=named):
        TokenBucket(rate=rate, burst=burst)
