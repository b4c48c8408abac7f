"""From what a handler used after each invocation: whether it leaks, and at which invocation it will fail.

Pure and deterministic. Three things look like a leak and are none, and each has its answer here:

- **warming up**: imports, pools and caches fill in the first invocations. The first part is left out, and
  what grew must still grow in the second half of the rest.
- **teeth**: garbage that is collected now and then, a runtime that is recycled. The lowest use in each of
  several stretches is looked at; it rises only with what nobody frees.
- **noise**: the kernel counts memory in batches, allocators take it in arenas. Growth below a floor is none.

The rate is the median of the slopes between all pairs of points (Theil and Sen), which neither a single jump
nor a tooth moves. How far the failing invocation may be off comes from how much the growth over equal
stretches differs from stretch to stretch (batch means): exact for a handler that leaks the same each time,
wide for one that leaks now and then. The road not taken is resampling: the same, but slow and at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, variance

__all__ = ["Outlook", "judge", "sen_slope"]

_FEWEST = 5
_MOST_POINTS = 160
_MOST_STRETCHES = 8
_RISING = 0.7
_STILL = 0.35
_NORMAL_95 = 1.96
_FARTHEST = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What will become of one resource.

    :param leaks: whether it grows with the invocations and keeps growing
    :param per_call: growth per invocation; of the part after warming up
    :param fails_at: the first invocation that will fail for it; None where it does not leak
    :param interval: in which the failing invocation lies with 95 % confidence
    :param observed: how many invocations this rests on
    """

    leaks: bool
    per_call: float
    fails_at: int | None
    interval: tuple[int, int] | None
    observed: int


def judge(values: Sequence[float], *, limit: float, transient: float = 0.0, floor: float = 0.0) -> Outlook:
    """Judge one resource.

    :param values: its use after the first, second … invocation
    :param limit: the most that may be used
    :param transient: what an invocation uses while it runs, besides what it leaves behind
    :param floor: growth that is no growth, in the resource's unit
    """
    tail = _warm(values)
    if len(tail) < _FEWEST - 1 or len(values) < _FEWEST:
        return Outlook(leaks=False, per_call=0.0, fails_at=None, interval=None, observed=len(values))
    rate = sen_slope(tail)
    if rate <= 0 or not _rises(tail, floor):
        return Outlook(
            leaks=False, per_call=max(0.0, rate), fails_at=None, interval=None, observed=len(values)
        )
    fails_at, interval = _crossing(values, tail, rate, limit - transient)
    return Outlook(leaks=True, per_call=rate, fails_at=fails_at, interval=interval, observed=len(values))


def sen_slope(values: Sequence[float]) -> float:
    """The median of the slopes between all pairs, of at most 160 evenly chosen points."""
    places = _chosen(len(values))
    slopes = [
        (values[later] - values[earlier]) / (later - earlier)
        for at, earlier in enumerate(places)
        for later in places[at + 1 :]
    ]
    return median(slopes) if slopes else 0.0


def _chosen(count: int) -> list[int]:
    if count <= _MOST_POINTS:
        return list(range(count))
    return [round(place * (count - 1) / (_MOST_POINTS - 1)) for place in range(_MOST_POINTS)]


def _warm(values: Sequence[float]) -> Sequence[float]:
    """Without the first quarter, at least one; of few observations every one is dear."""
    count = len(values)
    return values[max(1, count // 4 if count > 40 else count // 6) :]


def _rises(tail: Sequence[float], floor: float) -> bool:
    lows = [min(stretch) for stretch in _stretches(tail)]
    growth = lows[-1] - lows[0]
    if growth <= 0 or growth < floor:
        return False
    pairs = [(a, b) for at, a in enumerate(lows) for b in lows[at + 1 :]]
    rising = sum((b > a) - (b < a) for a, b in pairs) / len(pairs)
    middle = len(lows) // 2
    first, second = lows[middle] - lows[0], lows[-1] - lows[middle]
    # Of an odd number of steps the halves are not equal; per step they are.
    per_step_first, per_step_second = first / middle, second / (len(lows) - 1 - middle)
    return rising >= _RISING and per_step_second >= _STILL * per_step_first


def _stretches(tail: Sequence[float]) -> list[Sequence[float]]:
    count = min(_MOST_STRETCHES, len(tail))
    edges = [round(place * len(tail) / count) for place in range(count + 1)]
    return [tail[start:end] for start, end in pairwise(edges)]


def _crossing(
    values: Sequence[float], tail: Sequence[float], rate: float, ceiling: float
) -> tuple[int, tuple[int, int]]:
    """The first invocation that finds no room, and the interval it lies in."""
    offset = len(values) - len(tail)
    # Numbered as invocations are: the tail's first value is what was used after invocation offset + 1.
    residuals = sorted(value - rate * (offset + place) for place, value in enumerate(tail, start=1))
    upper = residuals[min(len(residuals) - 1, math.ceil(0.95 * len(residuals)) - 1)]
    middle = median(residuals)
    # Teeth and transients: it is their upper edge that meets the limit.
    start = middle if upper - middle < rate else upper
    following = len(values) + 1
    fails_at = max(following, _first_beyond(ceiling, start, rate))
    spread = _spread(tail, rate, remaining=fails_at - len(values))
    least = max(following, math.floor(fails_at - spread))
    return fails_at, (least, max(fails_at, min(_FARTHEST, math.ceil(fails_at + spread))))


def _first_beyond(ceiling: float, start: float, rate: float) -> int:
    """The first invocation that would leave more than the ceiling behind; what just fits, fits."""
    exact = (ceiling - start) / rate
    return _FARTHEST if exact >= _FARTHEST else math.floor(exact + 1e-9) + 1


def _spread(tail: Sequence[float], rate: float, *, remaining: int) -> float:
    """Half the 95 % interval of the failing invocation, in invocations.

    The growth still to come varies as the growth so far did, from stretch to stretch, and the rate itself is
    known only as well as the stretches agree.
    """
    count = min(_MOST_STRETCHES, (len(tail) - 1) // 2)
    if count < 2:
        return remaining / 2
    edges = [round(place * (len(tail) - 1) / count) for place in range(count + 1)]
    rates = [(tail[end] - tail[start]) / (end - start) for start, end in pairwise(edges)]
    length = (len(tail) - 1) / count
    per_call = variance(rates, fmean(rates)) * length
    of_the_rate = per_call / (len(tail) - 1)
    total = remaining * per_call / rate**2 + (remaining / rate) ** 2 * of_the_rate
    return _student(count - 1) * math.sqrt(total)


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Cornish and Fisher's expansion."""
    z = _NORMAL_95
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
