"""A token bucket as a value: pure, with the time handed in."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["TokenBucket"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBucket:
    """How many calls are admitted: ``rate`` a second on average, and ``burst`` at once.

    :param rate: tokens that flow in per second
    :param burst: how many tokens the bucket holds at most
    :param tokens: how many it holds now. Default: full
    :param at: the moment ``tokens`` was true, in seconds of any monotonic clock
    :raises ValueError: when the rate is not above zero or the burst is below one
    """

    rate: float
    burst: float
    tokens: float | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"TokenBucket: rate is {self.rate!r}; allowed: above 0 tokens per second")
        if not self.burst >= 1:
            raise ValueError(f"TokenBucket: burst is {self.burst!r}; allowed: at least 1 token")

    def take(self, now: float) -> tuple[TokenBucket, float]:
        """Ask for one token at ``now``.

        :returns: the bucket after the question, and the seconds until the next token is there: 0.0 means that
            the call is admitted. A clock that runs backwards neither adds nor takes tokens.
        """
        if self.tokens is None:
            held = self.burst
        else:
            now = max(now, self.at)
            held = min(self.burst, self.tokens + (now - self.at) * self.rate)
        if held >= 1:
            return replace(self, tokens=held - 1, at=now), 0.0
        return replace(self, tokens=held, at=now), (1 - held) / self.rate
