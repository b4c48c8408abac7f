"""One environment's breaker: what happens before and after each call of a downstream.

While all is well, both ends of a call are one look at the clock each, and the shared state is read once per
cache period. After the first failure anywhere, environments report what they see; each report is one atomic
write that also brings back what all the others saw. So an opening is decided from the calls of all of them.

The store may be away: then calls pass as if there were no breaker, it is told once, and asked again only
after a pause that grows. A circuit that was known to be open stays so until its time to retry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from resilient_runtime.chance import uniform
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.clock import SYSTEM_CLOCK, Clock

from .circuit import Circuit, CircuitState, Lease, after_claim, after_failure, after_release, after_success
from .errors import counts_by
from .policy import BreakerPolicy
from .reach import Reach
from .store import CircuitStore
from .view import HALF_OPEN_CACHE_SECONDS, Transition, View

__all__ = ["Breaker"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Begun = tuple[float, Lease | None, Any]

_LONGEST_REASON = 300
_TRIES = 4
"""How often a change is decided anew after somebody else was quicker."""


class Breaker:
    """Guards the calls of one downstream: ``with breaker:``, or ``@breaker`` on a function.

    Make one per environment and downstream, when the module is imported, and keep it.

    :param name: the downstream; all environments that give this name and table share one circuit
    :param policy: when it opens and how it closes. Default: at half of at least 40 calls within 30 seconds
    :param store: where the circuit is shared
    :param environment: names this environment in leases and reasons. Default: a random name
    :param clock: the time. Default: the machine's
    :param random: from 0 up to 1, for the jitter. Default: the operating system's
    :param redact: hides secrets in an exception's message, which may become the circuit's reason and so be
        read by others. Default: hides nothing
    :param counts: whether an exception counts as a failure. Default: as the policy says
    :param on_transition: called, each, after this environment changed the circuit's state
    :param on_store_error: called once when the store stops answering, with what it raised
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        store: CircuitStore,
        environment: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = uniform,
        redact: Callable[[str], str] = str,
        counts: Callable[[BaseException], bool] | None = None,
        on_transition: Sequence[Callable[[Transition], object]] = (),
        on_store_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self.name = name
        self.policy = policy = policy or BreakerPolicy()
        self.environment = environment = environment or os.urandom(6).hex()
        self._wall, self._ticks = clock
        self._random = random
        self._redact = redact
        self._counts = counts or counts_by(policy)
        self._reach = Reach(policy.cache_seconds, on_store_error)
        self._slow_from = float("inf") if policy.slow_call_seconds is None else policy.slow_call_seconds
        self._view = View(
            name,
            policy,
            store,
            environment=environment,
            clock=clock,
            random=self._random,
            reach=self._reach,
            on_transition=on_transition,
        )
        self._leases = 0
        # Not an attribute: threads and asyncio tasks have calls under way at the same time.
        self._begun: ContextVar[_Begun | None] = ContextVar("resilient_breaker", default=None)

    @property
    def circuit(self) -> Circuit:
        """The circuit as this environment knows it, at most one cache period old when calls are made."""
        return self._view.circuit

    @property
    def is_watching(self) -> bool:
        """Whether it would open; not while it is disabled, or cannot reach its store."""
        return self.circuit.state is not CircuitState.DISABLED and self._view.may_ask(self._ticks())

    def check(self) -> None:
        """Before waiting for anything else: does the call have a chance?

        :raises CircuitOpen: when ``enter`` would refuse it now, too
        """
        now = self._ticks()
        if now >= self._view.pass_until:
            self._update(now)
            if not (_takes_probes(self.circuit, self._wall()) and self._view.may_ask(now)):
                self._refuse_by_what_is_known(now)

    def enter(self, limit: Callable[[], float] | None = None) -> Lease | None:
        """Before a call.

        :param limit: tells after how many seconds this call is over in any case; a probe's lease is no longer
        :returns: a lease when this call is a probe, to be given to ``leave``; else None
        :raises CircuitOpen: when the call must not be made
        """
        if self._ticks() < self._view.pass_until:
            return None
        return self._admit(limit)

    def leave(
        self,
        seconds: float,
        error: BaseException | None = None,
        lease: Lease | None = None,
        since: float = 0.0,
        counts: bool | None = None,
    ) -> None:
        """After a call that ``enter`` let pass. No error of the store's or ours comes out of it.

        :param seconds: how long the call took
        :param error: what it raised
        :param lease: what ``enter`` returned
        :param since: seconds that have passed since it ended, where only now is known how
        :param counts: whether the error counts. Default: as the policy says
        """
        if error is None and lease is None and seconds < self._slow_from:
            view = self._view
            now = self._ticks()
            # How long it takes until a call is known to be good: others wait for that before they judge.
            known_after = seconds + since
            view.good_calls.append(now - known_after)
            view.good_seconds = known_after
            if now < view.silent_until:
                return
        self._end(seconds, error, lease, since, counts)

    def give_back(self, lease: Lease) -> None:
        """A probe that ``enter`` granted is not made after all; another environment may make it."""
        try:
            self._conclude(lease, 0.0, None, counts=False)
        except Exception as fault:  # noqa: BLE001  then the lease runs out
            self._reach.complain(fault)

    def __enter__(self) -> Breaker:
        """Begin a call; see ``enter``."""
        now = self._ticks()
        lease = None if now < self._view.pass_until else self._admit(None)
        self._begun.set((now if lease is None else self._ticks(), lease, self._begun.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call; an exception goes on."""
        begun = self._begun.get()
        if begun is not None:
            started, lease, outer = begun
            self._begun.set(outer)
            self.leave(self._ticks() - started, error, lease)

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Guard each call of a function that is not asynchronous."""

        @wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with self:
                return function(*args, **kwargs)

        return guarded

    def _admit(self, limit: Callable[[], float] | None) -> Lease | None:
        now = self._ticks()
        if self._update(now):
            lease = self._claim(now, limit)
            if lease is not None:
                return lease
        self._refuse_by_what_is_known(now)
        return None

    def _update(self, now: float) -> bool:
        """Learn what is new; False when another thread is at it, and what is known has to do."""
        view = self._view
        if not view.begin_talk(now):
            return False
        try:
            view.refresh(now)
        except Exception as fault:  # noqa: BLE001  whatever is wrong here, it is not the call's fault
            self._reach.complain(fault)
        finally:
            view.end_talk()
        return True

    def _claim(self, now: float, limit: Callable[[], float] | None) -> Lease | None:
        """A lease where one is needed and to be had."""
        for _ in range(_TRIES):
            circuit, wall = self.circuit, self._wall()
            if not _takes_probes(circuit, wall) or not self._view.may_ask(now):
                break
            self._leases += 1
            seconds = self.policy.lease_seconds
            if limit is not None:
                seconds = max(min(seconds, limit()), 0.0)
            # The time is in it because environments restored from one snapshot share the rest.
            name = f"{self.environment}/{self._leases}@{wall:.3f}"
            lease = Lease(id=name, until=wall + seconds)
            wanted = after_claim(circuit, self.policy, now=wall, lease=lease, by=self.environment)
            if wanted is circuit:
                break
            if self._view.change(wanted):
                return lease
        return None

    def _refuse_by_what_is_known(self, now: float) -> None:
        circuit, view = self.circuit, self._view
        state = circuit.state
        if state is CircuitState.FORCED_OPEN:
            raise self._refusal(None, circuit.reason)
        if state is CircuitState.OPEN:
            left = 0.0 if circuit.retry_at is None else circuit.retry_at - self._wall()
            if left > 0 or view.may_ask(now):
                raise self._refusal(max(left, 0.0), circuit.reason)
        if state is CircuitState.HALF_OPEN and view.may_ask(now):
            raise self._refusal(HALF_OPEN_CACHE_SECONDS, "others are probing it")
        if state is CircuitState.CLOSED and now < view.held_until:
            raise self._refusal(view.held_until - now, f"it failed here; {view.judgement.reason}")

    def _end(
        self,
        seconds: float,
        error: BaseException | None,
        lease: Lease | None,
        since: float,
        counts: bool | None,
    ) -> None:
        try:
            if counts is None:
                counts = error is None or self._counts(error)
            if lease is not None:
                self._conclude(lease, seconds, error, counts=counts)
            elif counts:
                slow = error is None and seconds >= self._slow_from
                self._view.observe(seconds + since, failed=error is not None, slow=slow)
        except Exception as fault:  # noqa: BLE001  whatever is wrong here, the call is over and was what it was
            self._reach.complain(fault)

    def _conclude(self, lease: Lease, seconds: float, error: BaseException | None, *, counts: bool) -> None:
        """Bring a probe's result home; a lease that somebody else has replaced changes nothing."""
        for _ in range(_TRIES + self.policy.probes):
            circuit, now = self.circuit, self._wall()
            if not counts:
                wanted = after_release(circuit, lease=lease)
            elif error is None and seconds < self._slow_from:
                wanted = after_success(circuit, self.policy, now=now, lease=lease, by=self.environment)
            else:
                wanted = after_failure(
                    circuit,
                    self.policy,
                    now=now,
                    random=self._random,
                    lease=lease,
                    reason=f"a probe {self._described(error, seconds)}",
                    by=self.environment,
                )
            # Asked even while the store is left alone: all others wait for this one result.
            if wanted is circuit or self._view.change(wanted) is not False:
                return

    def _described(self, error: BaseException | None, seconds: float) -> str:
        if error is None:
            return f"took {seconds:.3f} s"
        try:
            text = f"failed: {type(error).__name__}: {self._redact(str(error))}"
        except Exception:  # noqa: BLE001  an exception may be unable to print itself
            text = f"failed: {type(error).__name__}"
        return text[:_LONGEST_REASON]

    def _refusal(self, seconds: float | None, reason: str) -> CircuitOpen:
        return CircuitOpen(self.name, self.circuit.state, seconds, reason)


def _takes_probes(circuit: Circuit, wall: float) -> bool:
    if circuit.state is CircuitState.OPEN:
        return circuit.retry_at is None or wall >= circuit.retry_at
    return circuit.state is CircuitState.HALF_OPEN
