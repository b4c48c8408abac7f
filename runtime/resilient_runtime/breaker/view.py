"""The circuit as one environment knows it: kept current, told what happens here, and changed from here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from resilient_runtime.clock import Clock

from .circuit import Circuit, CircuitState, after_opening
from .policy import BreakerPolicy
from .reach import Reach
from .store import CircuitStore, Record
from .tally import Tally
from .window import BUCKETS, Judgement, Mood, first_bucket, judge

__all__ = ["HALF_OPEN_CACHE_SECONDS", "Transition", "View"]

_T = TypeVar("_T")

HALF_OPEN_CACHE_SECONDS = 1.0
"""Probes end within seconds, so whoever waits for a place asks more often than of a closed circuit."""

_REPORTS_PER_SECOND = 200
"""How many reports all environments send together at most. A report costs up to 2 of the 1,000 write units
that one partition has a second.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"""

_LONGEST_TALK_SECONDS = 10.0
"""After which an exchange with the store that never returned (its thread was killed) is forgotten."""

_GOOD_CALLS = 100
"""How many good calls are remembered while nobody fails, in case somebody already has."""

_NEVER = float("-inf")
_CALM = Judgement(Mood.CALM)


class Transition(NamedTuple):
    """A circuit changed its state, and this environment changed it.

    :param name: the downstream
    :param before: the state until now
    :param circuit: the circuit as it is now; its state, reason and version among the rest
    """

    name: str
    before: CircuitState
    circuit: Circuit


class View:
    """What one environment knows of a shared circuit. Moments are in the clock's ticks.

    :ivar pass_until: until when calls pass without any further look
    :ivar silent_until: until when calls that succeed need not be told to anybody
    :ivar held_until: until when this environment makes no call, because its latest one failed
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        store: CircuitStore,
        *,
        environment: str,
        clock: Clock,
        random: Callable[[], float],
        reach: Reach,
        on_transition: Sequence[Callable[[Transition], object]],
    ) -> None:
        self.name = name
        self.circuit = Circuit()
        self.judgement = _CALM
        self.pass_until = self.silent_until = self.held_until = _NEVER
        # When the latest good calls began, and how long the last took; unknown, it may take as long as any.
        self.good_calls: deque[float] = deque(maxlen=_GOOD_CALLS)
        self.good_seconds = float("inf")
        self._policy = policy
        self._store = store
        self._environment = environment
        self._wall, self._ticks = clock
        self._random = random
        self._reach = reach
        self._on_transition = on_transition
        self._tally = Tally(policy)
        self._shared = Record()
        self._is_failing = False  # how the latest call ended here
        self._is_new = True
        self._fresh_until = _NEVER
        self._reported_at = _NEVER
        self._talking_until = _NEVER

    def may_ask(self, now: float) -> bool:
        """Whether the store is there, as far as is known."""
        return now >= self._reach.back_at

    def begin_talk(self, now: float) -> bool:
        """Whether this thread may exchange with the store; another's exchange must not be waited for."""
        if now < self._talking_until:
            return False
        self._talking_until = now + _LONGEST_TALK_SECONDS
        return True

    def end_talk(self) -> None:
        """The exchange is over."""
        self._talking_until = _NEVER

    def observe(self, seconds: float, *, failed: bool, slow: bool) -> None:
        """A call that counts has ended here."""
        now, wall = self._ticks(), self._wall()
        circuit = self.circuit
        if circuit.state is not CircuitState.CLOSED:
            return
        if circuit.closed_at is not None and wall - seconds < circuit.closed_at:
            return  # it began before the circuit closed: a late echo of the outage
        is_bad = failed or slow
        if not is_bad and wall - seconds < self.judgement.since:
            return  # it began before the first failure: no objection to what came after
        is_news = is_bad or self._is_failing or self.judgement.mood is Mood.SUSPECT
        self._is_failing = is_bad
        if not is_bad and self.judgement.mood is Mood.CALM:
            # A good call that was longer than the cache period: are the others well, too?
            self._exchange(self.refresh, now)
            return
        self._tally.add(wall, failed=failed, slow=slow)
        spread = self.judgement.reporters / _REPORTS_PER_SECOND
        if now >= self._reported_at + (spread if is_news else max(self._policy.cache_seconds, spread)):
            self._exchange(self._report, now)

    def refresh(self, now: float) -> None:
        """Bring what is known up to date where it is too old, and tell what the others do not know yet."""
        if now < self._fresh_until or not self.may_ask(now) or self._report(now):
            return
        record = self._ask(now, lambda: self._store.read(self.name))
        if record is None:
            return
        if record.circuit.version < self.circuit.version:
            # A read may be older than what is known here; then it says nothing.
            self._fresh_until = now + self._cache_seconds()
            self._pace(now)
            return
        self._take(record, now)

    def change(self, wanted: Circuit) -> bool | None:
        """Write a change; whether it took place, and None when the store did not answer."""
        before, now = self.circuit, self._ticks()
        written = self._ask(
            now, lambda: self._store.change(self.name, wanted, before=before, over=self._over())
        )
        if written is None:
            return None
        self._adopt(written.record, now)
        self._pace(now)
        if written.done and wanted.state is not before.state:
            for told in self._on_transition:
                with suppress(Exception):  # who listens must not fail the call
                    told(Transition(self.name, before.state, wanted))
        return written.done

    def _exchange(self, step: Callable[[float], object], now: float) -> None:
        if self.may_ask(now) and self.begin_talk(now):
            try:
                step(now)
            finally:
                self.end_talk()

    def _report(self, now: float) -> bool:
        """Tell what the others do not know; False when there is nothing to tell."""
        entries = self._tally.entries(self._wall())
        if not entries:
            return False
        record = self._ask(now, lambda: self._store.count(self.name, entries, self._over()))
        if record is not None:
            self._tally.told()
            self._reported_at = now
            self._take(record, now)
        return True

    def _ask(self, now: float, question: Callable[[], _T]) -> _T | None:
        answer = self._reach.ask(now, question)
        if answer is None:
            self._fresh_until = self._reach.back_at
            self._pace(now)
        return answer

    def _take(self, record: Record, now: float) -> None:
        """Act on what is stored: open the circuit if it says so."""
        was_calm = self.judgement.mood is Mood.CALM
        self._adopt(record, now)
        if self.circuit.state is CircuitState.CLOSED:
            self.judgement = judgement = judge(
                record.counts,
                self._policy,
                now=self._wall(),
                closed_at=self.circuit.closed_at,
                typical_seconds=self.good_seconds,
            )
            if judgement.mood is Mood.DOWN:
                self._open(judgement)
            elif judgement.mood is Mood.SUSPECT and self._is_failing:
                self._hold_back(judgement, now)
            if was_calm and judgement.mood in (Mood.WATCHFUL, Mood.SUSPECT):
                self._object(judgement.since, now)
        self._pace(now)

    def _object(self, since: float, now: float) -> None:
        """Somebody has failed: tell at once of the calls that began here since then and went well."""
        wall = self._wall()
        for began in list(self.good_calls):
            if (at := wall - (now - began)) > since:
                self._tally.add(at)
        self.good_calls.clear()
        self._report(now)

    def _open(self, judgement: Judgement) -> None:
        self.change(
            after_opening(
                self.circuit,
                self._policy,
                now=self._wall(),
                random=self._random,
                reason=judgement.reason,
                by=self._environment,
            )
        )

    def _hold_back(self, judgement: Judgement, now: float) -> None:
        """It has just failed here: make no further call until the others have been heard.

        Where only a few environments fail, no waiting will ever open the circuit: each of those tries one
        call per cache period, and what it does not take is done by the others.
        """
        if judgement.wait or self._reported_at == now:
            self.held_until = now + (judgement.wait or self._policy.cache_seconds)
            self._fresh_until = self.held_until

    def _adopt(self, record: Record, now: float) -> None:
        circuit, known = record.circuit, self.circuit
        self.circuit = circuit
        self._shared = record
        self._fresh_until = now + self._cache_seconds()
        if circuit.state is not known.state or circuit.closed_at != known.closed_at:
            self._tally.forget()
            self._is_failing = False
            self.judgement = _CALM
            self.held_until = _NEVER
            self._spread(now, self._random())
        elif self._is_new:
            # Longer, not shorter: one read per cache period is promised.
            self._spread(now, 2 - self._random())
        self._is_new = False

    def _spread(self, now: float, periods: float) -> None:
        """Read next at a moment of one's own.

        Environments that started together, or learned together that the circuit is closed, would go on
        reading together, and nobody could object for most of each period.
        """
        if self.circuit.state is CircuitState.CLOSED:
            self._fresh_until = now + self._policy.cache_seconds * periods

    def _pace(self, now: float) -> None:
        """Until when calls need no look at all."""
        state = self.circuit.state
        passes = state is CircuitState.CLOSED or state is CircuitState.DISABLED
        counts = state is CircuitState.CLOSED and (self.judgement.mood is not Mood.CALM or self._is_failing)
        self.pass_until = self._fresh_until if passes and now >= self.held_until else _NEVER
        self.silent_until = _NEVER if counts else self._fresh_until

    def _cache_seconds(self) -> float:
        """How long what is known may be acted on."""
        longest, circuit = self._policy.cache_seconds, self.circuit
        if circuit.state is CircuitState.HALF_OPEN:
            return min(longest, HALF_OPEN_CACHE_SECONDS)
        if circuit.state is CircuitState.OPEN and circuit.retry_at is not None:
            # Whoever is to probe looks first whether another does already: a read is cheaper than a claim.
            return min(longest, max(circuit.retry_at - self._wall(), HALF_OPEN_CACHE_SECONDS))
        return longest

    def _over(self) -> list[int]:
        """Some buckets that nobody's window reaches any more, whatever their clock."""
        first = first_bucket(self._wall(), self._policy) - BUCKETS
        return sorted(index for index in self._shared.counts if index < first)[:BUCKETS]
