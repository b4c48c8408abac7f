from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pretended import Connection, OperationalError, Server
from resilient_runtime.connections import PoolExhausted
from resilient_runtime.connections.pool import Loan

MAX_AGE, CHECK_AFTER = 60.0, 5.0


class PoolMachine(RuleBasedStateMachine):
    """Everything that can happen to a pool, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 3
        self.server = Server()
        self.time = self.server.time
        self.group, _ = self.server.group()
        self.pool = self.group.database(
            self.server.connect, limit=self.limit, max_age=MAX_AGE, check_after=CHECK_AFTER
        )
        self.lent: list[tuple[Loan[Connection], Connection]] = []

    @rule()
    def lend(self) -> None:
        """Somebody enters a block."""
        loan = self.pool()
        try:
            connection = loan.__enter__()
        except PoolExhausted:
            assert len(self.lent) == self.limit
            return
        except OperationalError:
            assert not self.server.up
            return
        assert not connection.closed
        assert all(connection is not other for _, other in self.lent)
        assert self.time.now - connection.opened < MAX_AGE
        assert self.time.now - max(connection.used, connection.asked) < CHECK_AFTER
        self.lent.append((loan, connection))

    def _end(self, which: int, error: BaseException | None) -> Connection:
        loan, connection = self.lent.pop(which % len(self.lent))
        connection.used = self.time.now
        try:
            loan.__exit__(None if error is None else type(error), error, None)
        except OperationalError:
            assert error is None
            assert not connection.alive
        return connection

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        """A block ends well, unless the server is gone: then its commit raises."""
        connection = self._end(which, None)
        assert connection.committed or connection.closed

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9), error=st.sampled_from([ValueError(), KeyError()]))
    def fail(self, which: int, error: Exception) -> None:
        """A block raises: its connection is rolled back, or closed where that is impossible."""
        connection = self._end(which, error)
        assert connection.rolled_back or connection.closed

    @precondition(lambda self: self.lent)
    @rule(
        which=st.integers(0, 9),
        error=st.sampled_from([OperationalError(), TimeoutError(), KeyboardInterrupt(), SystemExit()]),
    )
    def interrupt(self, which: int, error: BaseException) -> None:
        """A block is interrupted, or its connection breaks: nobody gets that connection again."""
        assert self._end(which, error).closed

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9))
    def lose(self, which: int) -> None:
        """An interruption comes where nobody gives the connection back."""
        del self.lent[which % len(self.lent)]

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9))
    def close_inside(self, which: int) -> None:
        """The user closes the connection that they were lent."""
        connection = self.lent[which % len(self.lent)][1]
        if connection.alive:
            connection.close()

    @rule(which=st.integers(0, 9))
    def cut(self, which: int) -> None:
        """A connection dies, without a word."""
        found = self.server.open
        if found:
            found[which % len(found)].alive = False

    @rule(up=st.booleans())
    def restart(self, up: bool) -> None:
        """The server goes down, or comes back: all its connections are dead either way."""
        self.server.up = up
        for connection in self.server.open:
            connection.alive = False

    @initialize(stopped=st.sampled_from(["", "wall", "ticks"]))
    def freezes(self, stopped: str) -> None:
        """On this machine one of the clocks stands still while the environment is frozen, or none does."""
        self.stopped = stopped

    @rule(seconds=st.floats(0, 100), frozen=st.booleans())
    def pause(self, seconds: float, frozen: bool) -> None:
        """Time passes, in a freeze or not."""
        self.time.passes(seconds, stopped=self.stopped if frozen else "")

    @rule()
    def recycle(self) -> None:
        """The environment is cleaned: what is idle is closed."""
        self.group.close()
        assert self.pool.idle == 0

    @invariant()
    def never_more_than_the_limit(self) -> None:
        """There are never more open connections than the pool may have."""
        assert len(self.server.open) <= self.limit
        assert self.pool.idle + self.pool.in_use <= self.limit

    def teardown(self) -> None:
        """At the end nothing is open."""
        while self.lent:
            self._end(0, None)
        self.group.close()
        assert self.server.open == []


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
