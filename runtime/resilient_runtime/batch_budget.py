"""Whether there is time for one more record of a batch."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

__all__ = ["BatchBudget"]

_WINDOW = 20
"""Records that are looked back on: few enough that the third slow one in a row counts (p90)."""

_ENOUGH = 5
"""Records before which their p90 says little."""


class BatchBudget:
    """How long records have been taking in this environment, and so whether the next one can be done in time.

    A record that is begun too late is interrupted half done; one that is not begun returns untouched.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []
        self._longest_timeout = 0.0
        self._first = True
        self._whole = 0.0

    def begin(self) -> None:
        """A batch begins: its first record is begun whatever the ones before took."""
        self._first = True

    def took(self, seconds: float) -> None:
        """A record has ended, in whichever way."""
        if len(self._recent) == _WINDOW:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]
        self._recent.append(seconds)
        insort(self._ordered, seconds)

    def timeout(self, seconds: float) -> None:
        """A record gave a downstream so many seconds to answer."""
        if seconds > self._longest_timeout:
            self._longest_timeout = seconds

    def may_begin(self, left: float, margin: float) -> bool:
        """Whether to begin the next record.

        :param left: seconds until Lambda's timeout
        :param margin: seconds of those that are kept back
        """
        usable = left - margin
        if self._first:
            # Else a batch whose records take longer than they may would return for ever, untried.
            self._first = False
            self._whole = usable
            return usable > 0
        return usable > 0 and usable >= self.needed()

    def needed(self) -> float:
        """Seconds that a record takes: p90 of the last 20; of fewer than five, the longest of them or the
        longest timeout of a downstream.
        """
        known = len(self._ordered)
        if known >= _ENOUGH:
            return self._ordered[-(-known * 9 // 10) - 1]
        longest = self._ordered[-1] if known else 0.0
        # A timeout that most of an invocation goes into says what may happen, not what does: taken as what a
        # record needs, it would return all but the first of every batch.
        return max(longest, self._longest_timeout) if self._longest_timeout <= self._whole / 2 else longest
