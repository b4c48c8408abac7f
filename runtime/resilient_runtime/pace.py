"""The pace of one environment at one downstream, as a pure state machine: time and luck are handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .slow_down import Asked

__all__ = ["Pace", "PacePolicy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PacePolicy:
    """How strictly an environment keeps its pace, and how it answers to a downstream that wants fewer calls.

    :param credit: calls that one environment may make without a pause between them, after a call that took
        longer than its interval. Default: 3
    :param back_off: what the pace is multiplied by at a 429, unless ten calls went well before it: a single
        one says nothing about the pace. Default: 0.7
    :param slowest: the share of its full pace that an environment never falls below, so that it notices when
        the downstream has recovered. Default: 0.05
    :param recovery: what each call that is not refused adds to the pace, as a share of its full.
        Default: 0.02
    :param longest_wait: seconds that are waited for a turn at most; a message waits for one whole interval
        where that is longer. Default: 20
    :param longest_retry_after: seconds that a server's ``Retry-After`` is heeded for at most, as one wrong
        header must not stop a fleet for a day. Default: 900
    :raises ValueError: when a number is out of its range
    """

    credit: float = 3.0
    back_off: float = 0.7
    slowest: float = 0.05
    recovery: float = 0.02
    longest_wait: float = 20.0
    longest_retry_after: float = 900.0

    def __post_init__(self) -> None:
        faults = [] if self.credit >= 1 else [f"credit is {self.credit!r}; allowed: 1 call or more"]
        faults += [
            f"{name} is {getattr(self, name)!r}; allowed: above 0, at most 1"
            for name in ("back_off", "slowest", "recovery")
            if not 0 < getattr(self, name) <= 1
        ]
        faults += [
            f"{name} is {getattr(self, name)!r}; allowed: 0 seconds or more"
            for name in ("longest_wait", "longest_retry_after")
            if not getattr(self, name) >= 0
        ]
        if faults:
            raise ValueError(f"PacePolicy: {'; '.join(faults)}")


class Pace:
    """When one environment's next call of one downstream may be; pure, the time is handed in.

    A bucket of turns: a turn comes every interval. Time spent in a call earns turns up to the credit, idle
    time a single one: an environment that had nothing to do has nothing to catch up on, and a fleet that
    wakes up must not call all at once. For that same reason a new one, or one that was idle for long, first
    waits for a random part of its interval, unless the downstream's burst has room for it.

    :param rate: calls a second, at full pace
    :param burst: the environment's part of the downstream's burst, in calls: the chance that its first turn
        comes at once
    :param random: a number from 0 up to but not including 1
    """

    __slots__ = (
        "_at",
        "_burst",
        "_busy",
        "_not_before",
        "_policy",
        "_random",
        "_rate",
        "_share",
        "_since",
        "_turns",
        "_used",
    )

    def __init__(
        self, *, rate: float, burst: float, policy: PacePolicy, random: Callable[[], float], now: float
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._policy = policy
        self._random = random
        self._share = 1.0
        self._busy = 0
        self._since = _BAD_LUCK
        self._at = self._used = self._not_before = now
        self._turns = self._first()

    @property
    def share(self) -> float:
        """How much of its full pace the environment allows itself, 0 to 1, as of the last look."""
        return self._share

    @property
    def interval(self) -> float:
        """Seconds from one turn to the next, at the pace of the last look."""
        return 1 / (self._rate * self._share)

    def wait(self, now: float) -> float:
        """Seconds until the next turn."""
        self._pass(now)
        turn = 0.0 if self._turns >= 1 else (1 - self._turns) / (self._rate * self._share)
        return max(turn, self._not_before - now)

    def take(self) -> None:
        """Take the turn that ``wait`` told of; one that is still to come is kept for whoever took it."""
        self._turns -= 1
        self._busy += 1

    def give_back(self, now: float) -> None:
        """A turn was taken and not used."""
        self._pass(now)
        self._busy = max(0, self._busy - 1)
        self._turns = min(self._policy.credit, self._turns + 1)

    def ended(self, now: float, asked: Asked | None) -> None:
        """A call is over.

        :param asked: whether the downstream wants fewer calls
        """
        self._pass(now)
        self._busy = max(0, self._busy - 1)
        self._used = now
        if asked is None:
            # By calls, not by time: the slower the pace, the slower it is tried whether more is allowed.
            self._share = min(1.0, self._share + self._policy.recovery)
            self._since += 1
        else:
            self.slow_down(now, asked)

    def slow_down(self, now: float, asked: Asked) -> None:
        """The downstream wants fewer calls: no credit, a slower pace, and nothing before it said."""
        self._pass(now)
        policy = self._policy
        if self._since < _BAD_LUCK:
            self._share = max(policy.slowest, self._share * policy.back_off)
        self._since = 0
        self._turns = min(self._turns, 0.0)
        if asked.retry_after:
            # It told everybody the same, so everybody adds a part of an interval of their own.
            wait = min(asked.retry_after, policy.longest_retry_after) + self._random() / self._rate
            self._not_before = max(self._not_before, now + wait)
            # One turn at that moment, not all that would have come until then.
            self._turns = min(self._turns, 1 - wait * self._rate * self._share)

    def _pass(self, now: float) -> None:
        """Let the time go on to ``now``; one that goes back earns nothing."""
        seconds = now - self._at
        if seconds <= 0:
            return
        self._at = now
        pace = self._rate * self._share
        earned = pace * seconds
        if self._busy:
            self._turns = max(self._turns, min(self._policy.credit, self._turns + earned))
            return
        idle = (now - self._used) * pace
        if idle > _FORGOTTEN:
            self._turns = min(self._turns + earned, self._first())
            self._share = 1.0
            self._used = now
        elif idle > 1:
            self._turns = min(1.0, self._turns + earned)
        else:
            self._turns = max(self._turns, min(1.0, self._turns + earned))

    def _first(self) -> float:
        return 1.0 if self._random() < self._burst else self._random()


_FORGOTTEN = 10
"""Intervals without a call after which an environment is as good as new: what it was told then says little
now, and it may be one of many that wake."""

_BAD_LUCK = 10
"""Calls after which one that is refused says nothing about the pace: environments that know nothing of each
other do meet at the same moment, in a fleet that keeps to its rate in about one call of a hundred."""
