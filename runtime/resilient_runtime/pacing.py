"""Each execution environment keeps to its share of a downstream's rate, so that the fleet keeps to all of it.

There is no shared counter and no call to AWS: a downstream that takes ten calls a second from sixty
environments takes one call in six seconds from each. Two things make that as good as a shared bucket where it
matters, when there is a backlog: an environment whose call took longer than its interval may catch up, up to
a few calls (its credit), and one that is told to slow down does, alone, and recovers.

    pace of one environment = rate ÷ max concurrency

What is given away: while few of the environments have work, the downstream is not used to its limit. Then
there is no backlog either.
https://aws.amazon.com/builders-library/fairness-in-multi-tenant-systems/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from .call import Call
from .chance import uniform
from .clock import SYSTEM_CLOCK, Clock
from .settings import DownstreamSettings
from .slow_down import Asked, NoTurn, asked_in

__all__ = ["Pace", "PacePolicy", "Pacer"]


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
    :param longest_wait: seconds that are waited for a turn at most. Default: 20
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


class Pacer:
    """The boundary at which one environment waits for its turns, for each downstream that has a rate.

    A downstream without a rate, or one whose callers' number nobody knows, is not paced.

    :param policy: how strictly
    :param sleep: waits for so many seconds
    """

    def __init__(
        self,
        policy: PacePolicy | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = uniform,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._policy = policy or PacePolicy()
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._paced: dict[str, _Paced] = {}
        # A handler may call from several threads.
        self._lock = Lock()

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Wait for a turn.

        :raises NoTurn: when the turn is further off than ``longest_wait``, or than what the invocation has
            left for it, less what such a call takes. The message then goes back without having been tried,
            once the environment has waited for as long as it may: one that gave it back at once would be
            handed the next one at once, and soon the whole backlog would have spent a receive on nothing
        """
        paced = self._paced_of(downstream)
        if paced is None:
            return
        with self._lock:
            wait = paced.pace.wait(self._clock.ticks())
            longest = self._longest(call, paced) if wait > 0 else 0.0
            has_turn = wait <= longest
            if has_turn:
                paced.pace.take()
        if has_turn:
            if wait > 0:
                self._sleep(wait)
            return
        if call.message_id is None:
            longest = 0.0  # whoever invoked the function waits for it
        self._sleep(longest)
        raise NoTurn(downstream.name, wait - longest)

    def leave(
        self,
        call: Call,  # noqa: ARG002
        downstream: DownstreamSettings,
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Learn from a call how long one takes, and whether the downstream wants fewer of them."""
        paced = self._paced_of(downstream)
        if paced is None:
            return
        asked = None if error is None else self._asked(error)
        with self._lock:
            paced.took(seconds)
            paced.pace.ended(self._clock.ticks(), asked)

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:  # noqa: ARG002
        """The call that had its turn is not made after all."""
        paced = self._paced_of(downstream)
        if paced is not None:
            with self._lock:
                paced.pace.give_back(self._clock.ticks())

    def heed(self, call: Call, asked: Asked) -> None:
        """The message failed after its call was over, with what the downstream had answered to it.

        ``reply.raise_for_status()`` behind the block is as good as inside it.
        """
        crossing = call.crossing
        # A call that failed was heeded when it ended.
        if crossing is None or crossing.outcome != "succeeded":
            return
        paced = self._paced.get(crossing.name)
        if paced is not None:
            with self._lock:
                paced.pace.slow_down(self._clock.ticks(), asked)

    def _longest(self, call: Call, paced: _Paced) -> float:
        """Seconds that may be waited, so that the call itself still fits into the invocation."""
        left = (call.remaining_ms() - call.margin_ms) / 1000 - paced.takes
        return max(0.0, min(left, self._policy.longest_wait))

    def share_of(self, name: str) -> float:
        """How much of its full pace this environment allows itself at a downstream, 0 to 1."""
        paced = self._paced.get(name)
        return 1.0 if paced is None else paced.pace.share

    def _asked(self, error: BaseException) -> Asked | None:
        try:
            return asked_in(error, now=self._clock.wall())
        except Exception:  # noqa: BLE001  an exception may break whoever looks at it; then it says nothing
            return None

    def _paced_of(self, downstream: DownstreamSettings) -> _Paced | None:
        paced = self._paced.get(downstream.name)
        if paced is not None:
            return paced
        rate, callers = downstream.requests_per_second, downstream.max_concurrency
        if not rate or not callers:
            return None
        burst = rate if downstream.burst is None else downstream.burst
        pace = Pace(
            rate=rate / callers,
            burst=burst / callers,
            policy=self._policy,
            random=self._random,
            now=self._clock.ticks(),
        )
        return self._paced.setdefault(downstream.name, _Paced(pace))


class _Paced:
    """One downstream, as one environment knows it."""

    __slots__ = ("pace", "takes")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.takes = 0.0
        """Seconds that a call may take: the longest lately, forgotten by a tenth with each call."""

    def took(self, seconds: float) -> None:
        self.takes = max(seconds, self.takes * 0.9)
