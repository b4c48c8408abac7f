"""What all environments counted, bucket by bucket, and what it says about the downstream.

Two shares decide, because either alone can be fooled: the share of the *calls* that failed, and the share of
the *environments* that saw them fail. One sick environment (its own network, an exhausted pool) can fail a
thousand calls while the others do well; it must stop by itself and not stop the fleet.

Environments that do well learn only from their next cached read that somebody else does not. So an opening
also needs time for an objection: with as many environments doing well as are failing, one of them would have
spoken up by then. While that time runs, whoever failed last holds back, and so an outage costs the minimum of
calls and one per environment, however long the others need.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from .policy import BreakerPolicy

__all__ = ["NOTHING", "Bucket", "Judgement", "Mood", "added", "bucket_of", "first_bucket", "judge"]

BUCKETS = 10
"""Into how many parts a window is divided: a sudden end shows within a tenth of it."""

_CLOCKS_APART = 2
"""Buckets ahead of one's own clock that count; beyond, a clock is wrong and not merely early."""

_DOUBT = 0.05
"""How probable it may be that as many do well as are ill, and all have missed it so far. With four times as
many it is 0.05⁴; with as many, half of the fleet fails, and to open is hardly wrong."""


class Bucket(NamedTuple):
    """What was counted in one part of the window, over all environments.

    :param calls: calls that ended, and count
    :param failed: those of them that failed
    :param slow: those of them that succeeded too slowly
    :param ill: environments that reported last in this bucket, and had a failure within a window
    :param well: those that had none
    :param since: when the first failure of the bucket was told, in wall-clock seconds; 0 when there was none
    """

    calls: int = 0
    failed: int = 0
    slow: int = 0
    ill: int = 0
    well: int = 0
    since: float = 0


NOTHING = Bucket()


class Mood(Enum):
    """What the counts say."""

    CALM = "nothing failed lately"
    WATCHFUL = "something failed: everybody counts and reports"
    SUSPECT = "it would open, but not all who may object have been heard"
    DOWN = "it opens"


class Judgement(NamedTuple):
    """The counts, judged.

    :param mood: what they say
    :param reason: why, for people
    :param wait: seconds until the time for objections is over; 0 when it is not time that is missing
    :param since: when the window's first failure was told
    :param reporters: environments heard in the window
    """

    mood: Mood
    reason: str = ""
    wait: float = 0
    since: float = 0
    reporters: int = 0


_CALM = Judgement(Mood.CALM)


def bucket_of(wall: float, policy: BreakerPolicy) -> int:
    """The number of the bucket that a moment falls into."""
    return int(wall * BUCKETS // policy.window_seconds)


def first_bucket(wall: float, policy: BreakerPolicy) -> int:
    """The number of the oldest bucket of the window that ends at this moment."""
    return bucket_of(wall, policy) - BUCKETS + 1


def judge(
    counts: Mapping[int, Bucket],
    policy: BreakerPolicy,
    *,
    now: float,
    closed_at: float | None = None,
    typical_seconds: float = 0,
) -> Judgement:
    """What the window that ends now says about the downstream.

    :param now: wall-clock seconds
    :param closed_at: when the circuit last closed; what was counted before is over
    :param typical_seconds: how long a good call takes: an objection comes that much later
    """
    first = first_bucket(now, policy)
    if closed_at is not None:
        first = max(first, bucket_of(closed_at, policy) + 1)
    last = bucket_of(now, policy) + _CLOCKS_APART
    latest, is_outage, reason, share = NOTHING, False, "", policy.failure_rate
    for index in sorted((one for one in counts if first <= one <= last), reverse=True):
        latest = added(counts[index], latest)
        enough = latest.calls >= policy.outage_calls
        if enough and not is_outage and latest.failed >= policy.outage_rate * latest.calls:
            is_outage, reason = True, f"of the latest {latest.calls} calls {latest.failed} failed"
    window = latest
    if not window.failed and not window.slow:
        return _CALM
    if window.calls >= policy.minimum_calls and not is_outage:
        if window.failed >= policy.failure_rate * window.calls:
            reason = f"of {window.calls} calls {window.failed} failed"
        elif window.slow >= policy.slow_call_rate * window.calls:
            reason, share = f"of {window.calls} calls {window.slow} were slow", policy.slow_call_rate
    reporters = window.ill + window.well
    if not reason:
        return Judgement(Mood.WATCHFUL, since=window.since, reporters=reporters)
    reason = f"{reason}, in {window.ill} of {reporters} environments"
    if window.ill < share * reporters:
        return Judgement(Mood.SUSPECT, reason, 0, window.since, reporters)
    wait = window.since + _time_to_object(window, policy, typical_seconds, is_outage=is_outage) - now
    mood = Mood.SUSPECT if wait > 0 else Mood.DOWN
    return Judgement(mood, reason, max(wait, 0.0), window.since, reporters)


def added(one: Bucket, other: Bucket) -> Bucket:
    """Two buckets as one; what ``one`` says of the first failure goes before what ``other`` says."""
    return Bucket(
        one.calls + other.calls,
        one.failed + other.failed,
        one.slow + other.slow,
        one.ill + other.ill,
        one.well + other.well,
        one.since or other.since,
    )


def _time_to_object(
    window: Bucket, policy: BreakerPolicy, typical_seconds: float, *, is_outage: bool
) -> float:
    """How long after the first failure the circuit may open.

    An environment that does well reads the shared state once per cache period, at a moment of its own: after
    the share ``t`` of a period, ``n`` of them have all missed it with the probability ``(1 - t) ** n``. Its
    objection is a call that began after the first failure, so it comes one such call later.

    Once somebody has objected all have to be heard: one period to learn of it, and, unless almost everything
    fails by now, another in which those that call rarely have called.
    """
    if window.calls > window.failed + window.slow:
        periods = 1.0 if is_outage else 2.0
    else:
        periods = 1 - _DOUBT ** (1 / max(window.ill, 1))
    return policy.cache_seconds * periods + min(typical_seconds, policy.cache_seconds)
