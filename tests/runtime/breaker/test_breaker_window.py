"""How counts are judged."""

from __future__ import annotations

import pytest
from resilient_runtime.breaker import BreakerPolicy
from resilient_runtime.breaker.tally import Tally
from resilient_runtime.breaker.window import BUCKETS, Bucket, Judgement, Mood, bucket_of, first_bucket, judge

POLICY = BreakerPolicy()
NOW = 1_700_000_010.0
HERE = bucket_of(NOW, POLICY)
LONG_AGO = NOW - 25


def judged(*buckets: Bucket, policy: BreakerPolicy = POLICY, now: float = NOW, **more: float) -> Judgement:
    """The judgement on these buckets, the latest one last."""
    first = HERE - len(buckets) + 1
    return judge({first + number: one for number, one in enumerate(buckets)}, policy, now=now, **more)


@pytest.mark.parametrize(
    ("buckets", "mood"),
    [
        ([], Mood.CALM),
        ([Bucket(calls=500, well=9)], Mood.CALM),
        ([Bucket(calls=500, failed=1, ill=1, well=9, since=LONG_AGO)], Mood.WATCHFUL),
        ([Bucket(calls=9, failed=9, ill=9, since=LONG_AGO)], Mood.WATCHFUL),
        ([Bucket(calls=10, failed=10, ill=9, since=LONG_AGO)], Mood.DOWN),
        ([Bucket(calls=19, failed=18, ill=9, since=LONG_AGO)], Mood.WATCHFUL),
        ([Bucket(calls=100, failed=49, ill=9, since=LONG_AGO)], Mood.WATCHFUL),
        ([Bucket(calls=100, failed=50, ill=9, since=LONG_AGO)], Mood.DOWN),
        ([Bucket(calls=100, failed=90, ill=1, well=9, since=LONG_AGO)], Mood.SUSPECT),
        ([Bucket(calls=100, failed=90, ill=9, since=NOW - 1)], Mood.SUSPECT),
        (
            [
                Bucket(calls=900, failed=90, ill=9, since=LONG_AGO),
                Bucket(calls=20, failed=19, ill=9, since=NOW),
            ],
            Mood.DOWN,
        ),
        (
            [
                Bucket(calls=900, failed=90, ill=9, since=LONG_AGO),
                Bucket(calls=20, failed=18, ill=9, since=NOW),
            ],
            Mood.WATCHFUL,
        ),
    ],
)
def test_calls_and_environments_decide_together(buckets: list[Bucket], mood: Mood) -> None:
    """Enough calls, a high share of them and of the environments, and time to object: then it is down."""
    assert judged(*buckets).mood is mood


def test_slow_calls_are_judged_by_their_own_rate() -> None:
    """They are no failures, and add nothing to those."""
    policy = BreakerPolicy(slow_call_rate=0.8, slow_call_seconds=5)
    half = Bucket(calls=100, slow=50, failed=20, ill=9, since=LONG_AGO)

    assert judged(half, policy=policy).mood is Mood.WATCHFUL
    verdict = judged(half._replace(slow=80), policy=policy)
    assert (verdict.mood, verdict.reason) == (Mood.DOWN, "of 100 calls 80 were slow, in 9 of 9 environments")


@pytest.mark.parametrize(
    ("ill", "good", "seconds", "wait"),
    [
        (1, 0, 0.0, 4.75),
        (2, 0, 0.0, 3.882),
        (10, 0, 0.0, 1.294),
        (50, 0, 0.0, 0.291),
        (50, 0, 0.2, 0.491),
        (50, 0, 60.0, 5.291),
        (50, 1, 0.0, 5.0),
        (50, 30, 0.0, 10.0),
    ],
)
def test_the_time_to_object_depends_on_who_has_spoken(
    ill: int, good: int, seconds: float, wait: float
) -> None:
    """The more fail and none objects, the shorter it is; an objection makes it long."""
    bucket = Bucket(calls=50 + good, failed=50, ill=ill, since=NOW)
    verdict = judged(bucket, typical_seconds=seconds)

    assert verdict.mood is Mood.SUSPECT
    assert verdict.wait == pytest.approx(wait, abs=0.001)
    assert judged(bucket, now=NOW + wait + 0.001, typical_seconds=seconds).mood is Mood.DOWN


def test_what_is_over_does_not_count() -> None:
    """Older than the window, from before the closing, or from a clock that is wrong."""
    outage = Bucket(calls=100, failed=100, ill=9, since=LONG_AGO)

    assert judge({HERE - BUCKETS: outage}, POLICY, now=NOW).mood is Mood.CALM
    assert judge({HERE - BUCKETS + 1: outage}, POLICY, now=NOW).mood is Mood.DOWN
    assert judge({HERE: outage}, POLICY, now=NOW, closed_at=NOW).mood is Mood.CALM
    assert judge({HERE + 1: outage}, POLICY, now=NOW, closed_at=NOW).mood is Mood.DOWN
    assert judge({HERE + 2: outage}, POLICY, now=NOW).mood is Mood.DOWN
    assert judge({HERE + 3: outage}, POLICY, now=NOW).mood is Mood.CALM


def test_an_environment_is_counted_once_however_often_it_reports() -> None:
    """Its mark moves on with each report, and turns when it fails or has been well for a window."""
    tally, total = Tally(POLICY), dict[int, Bucket]()

    def report(at: float, *, failed: bool = False) -> tuple[int, int]:
        tally.add(at, failed=failed)
        for index, entry in tally.entries(at).items():
            old = total.get(index, Bucket())
            total[index] = old._replace(ill=old.ill + entry.ill, well=old.well + entry.well)
        tally.told()
        window = [one for index, one in total.items() if index >= first_bucket(at, POLICY)]
        return sum(one.well for one in window), sum(one.ill for one in window)

    assert report(NOW) == (1, 0)
    assert report(NOW + 1) == (1, 0)
    assert report(NOW + 7) == (1, 0)
    assert report(NOW + 8, failed=True) == (0, 1)
    assert report(NOW + 20) == (0, 1)
    assert report(NOW + 39) == (1, 0)
    assert report(NOW + 200) == (1, 0)


def test_what_was_not_told_is_kept_and_grows_old() -> None:
    """A store that was away gets what is still in the window, and no more."""
    tally = Tally(POLICY)
    tally.add(NOW, failed=True)
    tally.entries(NOW)
    tally.add(NOW + 20)

    assert sum(one.calls for one in tally.entries(NOW + 21).values()) == 2
    assert sum(one.calls for one in tally.entries(NOW + 40).values()) == 1
    tally.forget()
    assert tally.entries(NOW + 40) == {}
