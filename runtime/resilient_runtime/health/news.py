"""The figures of one environment as they are told: every minute, and sooner when they change."""

from __future__ import annotations

from .environment import Environment
from .probe import Reading
from .records import METRICS, in_words, percent

__all__ = ["News"]

_TELL_EVERY = 60.0


class News:
    """Tells of a reading when it is news.

    :param limits: what is allowed
    """

    def __init__(self, environment: Environment, limits: Reading) -> None:
        self._environment = environment
        self._limits = limits
        self._shown = Reading()
        self._shown_at = 0.0

    def heard(self, reading: Reading) -> None:
        """Tell of a reading that differs by a hundredth of a limit from the last that was told."""
        if self._is_news(reading):
            self._show(reading)

    def _is_news(self, reading: Reading) -> bool:
        if self._environment.clock.ticks() - self._shown_at >= _TELL_EVERY or not self._shown_at:
            return True
        if reading == self._shown:
            return False
        return any(
            now is not None and limit and (then is None or abs(now - then) * 100 >= limit)
            for now, then, limit in zip(reading, self._shown, self._limits, strict=True)
        )

    def _show(self, reading: Reading) -> None:
        self._shown = reading
        self._shown_at = self._environment.clock.ticks()
        limits = self._limits
        self._environment.tell(
            "HEALTH",
            percents={METRICS[name]: share for name, share in percent(reading, limits).items()},
            health=in_words(reading, limits),
        )
