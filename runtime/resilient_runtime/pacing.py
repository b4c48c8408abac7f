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
from threading import Lock

from .call import Call
from .chance import uniform
from .clock import SYSTEM_CLOCK, Clock
from .pace import Pace, PacePolicy
from .settings import DownstreamSettings
from .slow_down import Asked, NoTurn, asked_in

__all__ = ["Pace", "PacePolicy", "Pacer"]


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

        :raises NoTurn: when the turn is further off than ``longest_wait`` and an interval, or than what the
            invocation has left for it, less what such a call takes. The message then goes back untried,
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
                try:
                    self._sleep(wait)
                except BaseException:
                    self.give_up(call, downstream)
                    raise
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
        asked = None if error is None else asked_in(error, now=self._clock.wall())
        if asked is not None and asked.uncalled:
            asked = None  # a call within this one had no turn, which is not this downstream's doing
        with self._lock:
            paced.took(seconds)
            paced.pace.ended(self._clock.ticks(), asked)

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:  # noqa: ARG002
        """The call that had its turn is not made after all."""
        paced = self._paced_of(downstream)
        if paced is not None:
            with self._lock:
                paced.pace.give_back(self._clock.ticks())

    def done(self, call: Call, error: BaseException | None) -> None:
        """Nothing: a pacer that is a boundary by itself hears of late answers by ``heed``."""

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
        longest = self._policy.longest_wait
        if call.message_id is not None:
            # In a backlog the slot is paid for either way, and a message that went back ten times before its
            # turn came would be dead-lettered without having been tried.
            longest = max(longest, paced.pace.interval)
        return max(0.0, min(left, longest))

    def share_of(self, name: str) -> float:
        """How much of its full pace this environment allows itself at a downstream, 0 to 1."""
        paced = self._paced.get(name)
        return 1.0 if paced is None else paced.pace.share

    def _paced_of(self, downstream: DownstreamSettings) -> _Paced | None:
        paced = self._paced.get(downstream.name)
        if paced is not None:
            return paced
        rate, callers = downstream.requests_per_second, downstream.max_concurrency
        if not rate or not callers:
            return None
        burst = max(1.0, rate) if downstream.burst is None else downstream.burst
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
