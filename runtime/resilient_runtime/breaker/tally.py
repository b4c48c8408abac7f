"""What one environment has seen and not told the others yet."""

from __future__ import annotations

from .policy import BreakerPolicy
from .window import NOTHING, Bucket, bucket_of, first_bucket

__all__ = ["Tally"]

_WELL, _ILL = Bucket(well=1), Bucket(ill=1)


class Tally:
    """Counts by bucket, and the mark by which this environment is counted as ill or well.

    The mark stands in the bucket of the latest report and moves on with the next, so that every environment
    that was heard within a window is counted once in it, however often it reports.

    :param policy: says how long a bucket is
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._counts: dict[int, Bucket] = {}
        self._bad_in: int | None = None
        self._mark, self._marked_in = NOTHING, 0
        self._next_mark, self._next_in = NOTHING, 0

    def add(self, wall: float, *, failed: bool = False, slow: bool = False) -> None:
        """One call ended, at this moment."""
        index = bucket_of(wall, self._policy)
        old = self._counts.get(index, NOTHING)
        is_bad = failed or slow
        if is_bad:
            self._bad_in = index
        self._counts[index] = Bucket(
            calls=old.calls + 1,
            failed=old.failed + failed,
            slow=old.slow + slow,
            since=old.since or (wall if is_bad else 0),
        )

    def forget(self) -> None:
        """The circuit changed its state: what was seen before says nothing about now."""
        self._counts = {}
        self._bad_in = None
        self._mark = NOTHING

    def entries(self, wall: float) -> dict[int, Bucket]:
        """What to tell the others: all that is in the window, and the mark's move."""
        first = first_bucket(wall, self._policy)
        entries = {index: bucket for index, bucket in self._counts.items() if index >= first}
        if entries:
            self._next_in = max(entries)
            self._next_mark = _ILL if self._bad_in is not None and self._bad_in >= first else _WELL
            if self._marked_in >= first:
                _put(entries, self._marked_in, self._mark, -1)
            _put(entries, self._next_in, self._next_mark, 1)
        return entries

    def told(self) -> None:
        """The others know what ``entries`` gave."""
        self._counts = {}
        self._mark, self._marked_in = self._next_mark, self._next_in


def _put(entries: dict[int, Bucket], index: int, mark: Bucket, sign: int) -> None:
    old = entries.get(index, NOTHING)
    entries[index] = old._replace(ill=old.ill + sign * mark.ill, well=old.well + sign * mark.well)
