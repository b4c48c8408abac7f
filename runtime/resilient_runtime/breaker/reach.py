"""The shared store as one environment reaches it: its outage costs a short wait now and then, and no call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

__all__ = ["Reach"]

_T = TypeVar("_T")

_LONGEST_PAUSE_SECONDS = 60.0
"""How long a store that keeps failing is left alone at most."""

_MOST_DOUBLINGS = 8


class Reach:
    """Asks the store, and leaves it alone for a while when it does not answer.

    :param first_pause: seconds that it is left alone after its first failure; doubled with each further one
    :param tell: called once when it stops answering, with what it raised
    """

    def __init__(self, first_pause: float, tell: Callable[[Exception], object] | None) -> None:
        self._first_pause = first_pause
        self._tell = tell
        self._failures = 0
        self.back_at = float("-inf")
        """In ticks: when it may be asked again."""

    def ask(self, now: float, question: Callable[[], _T]) -> _T | None:
        """The answer, or None when there is none."""
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001  the store's outage must not become ours
            pause = self._first_pause * 2.0 ** min(self._failures, _MOST_DOUBLINGS)
            self.back_at = now + min(pause, _LONGEST_PAUSE_SECONDS)
            self._failures += 1
            if self._failures == 1:
                self.complain(error)
            return None
        self._failures = 0
        self.back_at = float("-inf")
        return answer

    def complain(self, error: Exception) -> None:
        """Tell whoever wants to know; what goes wrong there is not the call's fault."""
        if self._tell is not None:
            with suppress(Exception):
                self._tell(error)
