"""A bounded pool of connections, each used by one thread at a time.

Interruptions (``DeadlineExceeded``, ``KeyboardInterrupt``) come between any two steps, so nothing here counts
up and down: what is open is what is idle and what is lent, and a loan that an interruption lost is returned
when it is collected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from resilient_runtime.clock import Clock

from .advice import Moment, advise, after_use, lifetime

__all__ = ["Loan", "Pool", "PoolExhausted", "Verbs"]

C = TypeVar("C")

# A lost loan tells nobody that it is free again, so whoever waits looks for themselves now and then.
_LOOK_EVERY_SECONDS = 0.5


# Not PoolExhaustedError: it reads as what happened.
class PoolExhausted(TimeoutError):  # noqa: N818
    """Every connection that a pool may have was in use until the time to wait was over."""


class Verbs(Protocol):
    """What can be done with one kind of connection."""

    def closed(self, connection: Any) -> bool:
        """Whether it is known to be closed."""
        ...

    def readable(self, connection: Any) -> bool:
        """Whether something unasked for can be read from it."""
        ...

    def ping(self, connection: Any) -> None:
        """Raise unless the other side is there."""

    def commit(self, connection: Any) -> None:
        """End a use that went well."""

    def roll_back(self, connection: Any) -> None:
        """End a use that failed."""

    def close(self, connection: Any) -> None:
        """Hang up."""


class _Pooled(Generic[C]):
    """One open connection."""

    __slots__ = ("connection", "generation", "lifetime", "opened", "used")

    def __init__(self, connection: C, *, opened: Moment, lifetime: float, generation: int) -> None:
        self.connection = connection
        self.opened = self.used = opened
        self.lifetime = lifetime
        self.generation = generation


class Loan(Generic[C]):
    """A ``with`` block that has a connection for itself."""

    __slots__ = ("__weakref__", "_pool", "pooled", "thread")

    def __init__(self, pool: Pool[C]) -> None:
        self._pool = pool
        self.pooled: _Pooled[C] | None = None
        self.thread = 0

    def __enter__(self) -> C:
        """Get the connection."""
        if self.thread:
            raise RuntimeError(
                f"Pool {self._pool.name!r}: this block has a connection already; call the pool"
            )
        return self._pool.lend(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back and let the exception pass; the connection goes back or is closed."""
        self._pool.take_back(self, error)


class Pool(Generic[C]):
    """Lends connections: ``with pool() as connection:``. Made by ``Connections``.

    At the end of a block what was done is committed; when it raised, it is rolled back. A connection that was
    interrupted, broke, or became too old is closed, and the next block opens a new one.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], C],
        *,
        verbs: Verbs,
        limit: int,
        max_age: float,
        check_after: float,
        patience: float,
        clock: Clock,
        random: Callable[[], float],
        left: Callable[[], float | None],
    ) -> None:
        self.name = name
        self.limit = limit
        self._connect = connect
        self._verbs = verbs
        self._max_age = max_age
        self._check_after = check_after
        self._patience = patience
        self._clock = clock
        self._random = random
        self._left = left
        self._idle: list[_Pooled[C]] = []
        self._loans: WeakSet[Loan[C]] = WeakSet()
        self._generation = 0
        self._changed = threading.Condition()

    def __call__(self) -> Loan[C]:
        """A block with a connection: ``with pool() as connection:``.

        :raises PoolExhausted: on entering, when all connections stay in use until the invocation must end
        :raises Exception: on entering, what opening a connection raises
        """
        return Loan(self)

    @property
    def idle(self) -> int:
        """How many connections wait for a user."""
        return len(self._idle)

    @property
    def in_use(self) -> int:
        """How many connections are lent."""
        return len(self._loans)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back. The pool goes on working."""
        with self._changed:
            self._generation += 1
            idle, self._idle = self._idle, []
        for pooled in idle:
            self._hang_up(pooled)

    def lend(self, loan: Loan[C]) -> C:
        """Give this loan a connection that is known to work, as far as anybody can know."""
        pooled, aged = self._reserve(loan)
        try:
            for old in aged:
                self._hang_up(old)
            if pooled is None or not self._is_fit(pooled):
                pooled = self._open()
            loan.pooled = pooled
        except BaseException:
            self._release(loan)
            raise
        return pooled.connection

    def take_back(self, loan: Loan[C], error: BaseException | None) -> None:
        """End this loan; what committing raises is raised, for then nothing was done."""
        pooled, loan.pooled = loan.pooled, None
        kept = None
        try:
            if pooled is not None and self._settle(pooled, error):
                kept = pooled
        finally:
            # Closed before its place is free: there are never more than the limit.
            if pooled is not None and kept is None:
                self._hang_up(pooled)
            self._release(loan, kept)

    def _reserve(self, loan: Loan[C]) -> tuple[_Pooled[C] | None, list[_Pooled[C]]]:
        """A place among the open ones, the connection used last if any is idle, and idle ones to close."""
        began = self._clock.ticks()
        with self._changed:
            while not self._idle and len(self._loans) >= self.limit:
                self._wait(began)
            now = Moment.now(self._clock)
            pooled = self._idle.pop() if self._idle else None
            loan.thread = threading.get_ident()
            self._loans.add(loan)
            aged = [one for one in self._idle if now.since(one.opened) >= one.lifetime]
            if aged:
                self._idle = [one for one in self._idle if one not in aged]
        return pooled, aged

    def _wait(self, began: float) -> None:
        waited = self._clock.ticks() - began
        left = self._left()
        patience = self._patience - waited
        rest = patience if left is None else min(patience, left)
        # Nobody else can give one back where this thread has them all.
        mine = all(one.thread == threading.get_ident() for one in list(self._loans))
        if mine or rest <= 0:
            users = "this very thread" if mine else "other threads"
            raise PoolExhausted(
                f"Connections: all {self.limit} of {self.name!r} are in use by {users}, and none came back "
                f"within {waited:.1f} s. A connection comes back at the end of its `with` block; let blocks "
                f"end sooner, or raise limit={self.limit} of {self.name!r} if the server can take that many "
                "from every environment of the function at once"
            )
        self._changed.wait(min(rest, _LOOK_EVERY_SECONDS))

    def _is_fit(self, pooled: _Pooled[C]) -> bool:
        """Whether the connection can be used; it is closed when not."""
        now = Moment.now(self._clock)
        fit = False
        try:
            advice = advise(
                age=now.since(pooled.opened),
                idle=now.since(pooled.used),
                lifetime=pooled.lifetime,
                check_after=self._check_after,
                closed=self._verbs.closed(pooled.connection),
                readable=self._verbs.readable(pooled.connection),
            )
            if advice == "ping":
                self._verbs.ping(pooled.connection)
            fit = advice != "replace"
        except Exception:  # noqa: BLE001  whatever the driver calls it: the connection is dead
            fit = False
        finally:
            if not fit:
                self._hang_up(pooled)
        return fit

    def _open(self) -> _Pooled[C]:
        generation = self._generation
        try:
            connection = self._connect()
        except Exception as error:
            error.add_note(f"This was a new connection of {self.name!r} (Connections).")
            raise
        return _Pooled(
            connection,
            opened=Moment.now(self._clock),
            lifetime=lifetime(self._max_age, self._random()),
            generation=generation,
        )

    def _settle(self, pooled: _Pooled[C], error: BaseException | None) -> bool:
        """End the use; whether the connection may be used again."""
        fate = after_use(error)
        if fate == "close":
            return False
        if fate == "commit":
            self._verbs.commit(pooled.connection)
        else:
            try:
                self._verbs.roll_back(pooled.connection)
            except Exception:  # noqa: BLE001  the user's own exception says more, and goes on
                return False
        pooled.used = Moment.now(self._clock)
        young = pooled.used.since(pooled.opened) < pooled.lifetime
        return young and not self._verbs.closed(pooled.connection)

    def _release(self, loan: Loan[C], kept: _Pooled[C] | None = None) -> None:
        with self._changed:
            if kept is not None and kept.generation != self._generation:
                self._hang_up(kept)
                kept = None
            self._loans.discard(loan)
            loan.thread = 0
            if kept is not None:
                self._idle.append(kept)
            self._changed.notify()

    def _hang_up(self, pooled: _Pooled[C]) -> None:
        # A connection that is dead already may say so once more.
        with suppress(Exception):
            self._verbs.close(pooled.connection)
