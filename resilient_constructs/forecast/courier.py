"""The experiment's courier: takes ten calls a second, fails one in five at once, is slow at the others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .engine import Engine

__all__ = ["Answer", "Courier", "Manner", "outcomes", "soonest_end"]


class Answer(NamedTuple):
    """What one call is answered: an HTTP status, and after how many seconds."""

    status: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a courier behaves. Defaults: as in the published experiment.

    :param requests_per_second: calls it admits; others are answered 429 at once
    :param burst: calls it admits at once
    :param failing: so many of ``among`` admitted calls fail at once with 502
    :param fastest: whole seconds that the quickest delivery takes
    :param slowest: whole seconds that the slowest takes; uniform in between
    """

    requests_per_second: float = 10.0
    burst: float = 10.0
    failing: int = 20
    among: int = 101
    fastest: int = 1
    slowest: int = 10


_DEFAULT = Manner()


def outcomes(seed: int, manner: Manner = _DEFAULT) -> Iterator[int]:
    """Of each admitted call in turn: the seconds its delivery takes, or 0 where it fails."""
    dice = random.Random(seed)  # noqa: S311 (weather, not cryptography)
    while True:
        fails = dice.randrange(manner.among) < manner.failing
        yield 0 if fails else dice.randint(manner.fastest, manner.slowest)


@dataclass(slots=True)
class Courier:
    """The other side of the scalability boundary.

    The outcome of the n-th call that it admits depends on the seed alone, not on who calls or when, so that
    every design that is compared meets the same weather.

    :param outages: stretches, from and to a moment, in which every call is answered 503 at once
    :ivar admitted: moments of the calls it took
    :ivar refused: moments of those it answered 429
    :ivar failed: how many it answered 502
    :ivar called_in_vain: how many it answered 503
    """

    engine: Engine
    seed: int = 0
    manner: Manner = _DEFAULT
    outages: Sequence[tuple[float, float]] = ()
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: int = 0
    called_in_vain: int = 0
    _tokens: float = field(init=False)
    _at: float = 0.0
    _outcomes: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = self.manner.burst
        self._outcomes = outcomes(self.seed, self.manner)

    def call(self) -> Answer:
        """Answer a call that comes now."""
        now = self.engine.now
        if any(begin <= now < end for begin, end in self.outages):
            self.called_in_vain += 1
            return Answer(503, 0.0)
        held = self._tokens + (now - self._at) * self.manner.requests_per_second
        self._tokens = min(self.manner.burst, held)
        self._at = now
        # A caller who comes at the very moment of its token is not turned away for a rounding error.
        if self._tokens < 1 - 1e-9:
            self.refused.append(now)
            return Answer(429, 0.0)
        self._tokens -= 1
        self.admitted.append(now)
        seconds = next(self._outcomes)
        if seconds == 0:
            self.failed += 1
            return Answer(502, 0.0)
        return Answer(200, float(seconds))

    @property
    def share_refused(self) -> float:
        """The share of all calls that was answered 429."""
        calls = len(self.admitted) + len(self.refused)
        return len(self.refused) / calls if calls else 0.0


def soonest_end(arrivals: Sequence[float], *, seed: int, manner: Manner = _DEFAULT) -> float:
    """When the last delivery ends at the soonest: no consumer whatsoever could be done before.

    It is the end for one that knows everything and loses no time: it calls whenever a message is there and
    the courier admits it, and what failed is there again at once. No other can make its n-th call sooner
    (by induction over n: neither the messages nor the admissions are there before), and the outcome of the
    n-th call is the same for all.

    :param arrivals: when each message is there, in order
    """
    weather = outcomes(seed, manner)
    interval = 1 / manner.requests_per_second
    full = (manner.burst - 1) * interval
    # The bucket as the moment at which it would be full again (the generic cell rate algorithm).
    empty_until = -1e18
    delivered = 0
    end = 0.0
    moment = 0.0
    while delivered < len(arrivals):
        moment = max(moment, arrivals[delivered], empty_until - full)
        empty_until = max(empty_until, moment) + interval
        seconds = next(weather)
        if seconds:
            delivered += 1
            end = max(end, moment + seconds)
    return end
