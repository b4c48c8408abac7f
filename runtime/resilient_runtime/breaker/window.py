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

__all__ = ["NOTHING", "Bucket", "Judgement", "Mood", "bucket_of", "first_bucket", "judge"]

BUCKETS = 10
"""Into how many parts a window is divided: a sudden end shows within a tenth of it."""

_CLOCKS_APART = 2
"""Buckets ahead of one's own clock that count; beyond, a clock is wrong and not merely early."""

_DOUBT = 0.001
"""How improbable it must be that environments that do well have stayed silent so far."""


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
    calls = failed = slow = ill = well = 0
    since, reason, share = 0.0, "", 0.0
    for index in sorted((one for one in counts if first <= one <= last), reverse=True):
        bucket = counts[index]
        calls += bucket.calls
        failed += bucket.failed
        slow += bucket.slow
        ill += bucket.ill
        well += bucket.well
        since = bucket.since or since
        if not reason and calls >= policy.minimum_calls and failed >= policy.outage_rate * calls:
            reason, share = f"of the latest {calls} calls {failed} failed", policy.failure_rate
    if not failed and not slow:
        return _CALM
    reporters = ill + max(well, 0)
    if not reason and calls >= policy.minimum_calls:
        if failed >= policy.failure_rate * calls:
            reason, share = f"of {calls} calls {failed} failed", policy.failure_rate
        elif slow >= policy.slow_call_rate * calls:
            reason, share = f"of {calls} calls {slow} were slow", policy.slow_call_rate
    if not reason:
        return Judgement(Mood.WATCHFUL, since=since, reporters=reporters)
    reason = f"{reason}, in {ill} of {reporters} environments"
    if ill < share * reporters:
        return Judgement(Mood.SUSPECT, reason, 0, since, reporters)
    left = since + _time_to_object(policy, ill, calls > failed + slow, typical_seconds) - now
    mood = Mood.SUSPECT if left > 0 else Mood.DOWN
    return Judgement(mood, reason, max(left, 0.0), since, reporters)


def _time_to_object(policy: BreakerPolicy, ill: int, is_contested: bool, typical_seconds: float) -> float:
    """How long after the first failure the circuit may open.

    An environment that does well reads the shared state once per cache period, at a moment of its own: after
    the share ``t`` of a period, ``n`` of them have all missed it with the probability ``(1 - t) ** n``. Its
    objection is a call that began after the first failure, so it comes one such call later.
    """
    silence = 1.0 if is_contested else 1 - _DOUBT ** (1 / max(ill, 1))
    return policy.cache_seconds * silence + min(typical_seconds, policy.cache_seconds)
