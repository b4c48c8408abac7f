from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretended import Connection, OperationalError, Server
from resilient_runtime.call import Call, active_call
from resilient_runtime.connections import Connections, Pool, PoolExhausted
from resilient_runtime.connections.advice import Moment, advise, after_use, lifetime
from resilient_runtime.connections.pool import Loan

RUNTIME = str(Path(__file__).parents[3] / "runtime")
FINE: dict[str, Any] = {
    "age": 10.0, "idle": 1.0, "lifetime": 60.0, "check_after": 5.0, "closed": False, "readable": False,
}  # fmt: skip


class DriversOwnError(OperationalError):
    """A driver's own class below PEP 249's."""


@pytest.mark.parametrize(
    ("fact", "advice"),
    [
        ({}, "use"),
        ({"idle": 5.0}, "ping"),
        ({"readable": True}, "ping"),
        ({"age": 60.0}, "replace"),
        ({"closed": True}, "replace"),
        ({"closed": True, "readable": True}, "replace"),
        ({"age": 61.0, "idle": 61.0}, "replace"),
    ],
)
def test_a_connection_is_used_asked_or_replaced(fact: dict[str, Any], advice: str) -> None:
    """Young and lately used it is used; after a pause, or when something waits unread, it is asked first."""
    assert advise(**(FINE | fact)) == advice


@given(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_lifetime_is_at_most_the_maximum_and_a_fifth_less(max_age: float, chance: float) -> None:
    """Connections opened together end apart, none of them late."""
    assert 0.8 * max_age <= lifetime(max_age, chance) <= max_age


@given(*[st.floats(-1e9, 1e9)] * 4)
def test_time_passes_on_the_clock_that_saw_more(a: float, b: float, c: float, d: float) -> None:
    """A clock that stood still, or was set back, hides nothing."""
    assert Moment(c, d).since(Moment(a, b)) == max(c - a, d - b, 0)


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (None, "commit"),
        (ValueError(), "roll back"),
        (sqlite3.IntegrityError(), "roll back"),
        (sqlite3.OperationalError(), "close"),
        (sqlite3.InterfaceError(), "close"),
        (DriversOwnError(), "close"),
        (TimeoutError(), "close"),
        (ConnectionResetError(), "close"),
        (KeyboardInterrupt(), "close"),
        (GeneratorExit(), "close"),
    ],
)
def test_a_connection_with_half_an_answer_is_closed(error: BaseException | None, fate: str) -> None:
    """What was interrupted or broke is not used again; the user's own errors are rolled back."""
    assert after_use(error) == fate


def test_one_connection_serves_one_invocation_after_the_other() -> None:
    """Blocks that follow each other share a connection, each in a transaction of its own."""
    server = Server()
    pool = server.pool()
    for _ in range(3):
        with pool():
            pass
    assert (server.opened, pool.idle, pool.in_use) == (1, 1, 0)
    assert server.open[0].committed == 3


def test_nothing_is_asked_while_nothing_pauses() -> None:
    """In a busy environment a connection costs no round trip before it is used."""
    server = Server()
    pool = server.pool()
    with pool() as connection:
        pass
    server.time.passes(4.9)
    connection.asked = -1.0
    with pool():
        assert connection.asked == -1.0


def test_what_became_too_old_unused_is_closed() -> None:
    """A connection that nobody takes any more does not stay open for ever beside the one that all take."""
    server = Server()
    pool = server.pool(limit=2, max_age=10)
    with pool(), pool():
        assert len(server.open) == 2
    server.time.passes(11)
    with pool() as connection:
        assert server.open == [connection]


@pytest.mark.parametrize("stopped", ["", "wall", "ticks"])
def test_after_a_pause_a_connection_is_asked(stopped: str) -> None:
    """Whichever clock stood still in the freeze, a live connection is kept and a dead one replaced."""
    server = Server()
    pool = server.pool()
    with pool() as first:
        pass
    server.time.passes(60, stopped=stopped)
    with pool() as second:
        assert second is first
    server.time.passes(60, stopped=stopped)
    first.alive = False
    with pool() as third:
        assert third is not first
    assert first.closed


def test_a_commit_that_failed_is_told() -> None:
    """A block does not end well when the server did not take what it did."""
    server = Server()
    pool = server.pool()
    with pytest.raises(OperationalError, match="unexpectedly"), pool() as connection:
        connection.alive = False
    assert (connection.closed, pool.idle, pool.in_use) == (True, 0, 0)


def test_the_users_own_exception_goes_on() -> None:
    """A rollback that fails hides nothing; the connection is gone, the exception is the user's."""
    server = Server()
    pool = server.pool()
    used: list[Connection] = []

    def use() -> None:
        with pool() as connection:
            used.append(connection)
            connection.alive = False
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        use()
    assert used[0].closed


def test_a_connection_that_cannot_be_opened_says_whose_it_was() -> None:
    """The driver's exception comes unchanged, with a note, and the pool's place is free again."""
    server = Server()
    pool = server.pool(name="orders", limit=1)
    server.up = False
    for _ in range(3):
        with pytest.raises(OperationalError) as raised, pool():
            pytest.fail("nothing could be opened")
        assert raised.value.__notes__ == ["This was a new connection of 'orders' (Connections)."]
    server.up = True
    with pool():
        pass


def test_a_thread_that_has_all_connections_is_told_at_once() -> None:
    """Blocks within blocks past the limit would wait for themselves."""
    server = Server()
    pool = server.pool(name="orders", limit=1)
    began = time.monotonic()
    with pool(), pytest.raises(PoolExhausted) as raised, pool():
        pytest.fail("there was none to give")
    assert time.monotonic() - began < 1
    assert "all 1 of 'orders' are in use by this very thread" in str(raised.value)
    assert "raise limit=1 of 'orders'" in str(raised.value)


def elsewhere(loan: Loan[Connection], until: threading.Event) -> threading.Thread:
    """A thread that is in a block until it is told to end."""
    entered = threading.Event()

    def work() -> None:
        with loan:
            entered.set()
            until.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    return thread


def real_pool(server: Server, **options: Any) -> Pool[Connection]:
    """A pool in real time."""
    return Connections(on_recycle=lambda close: None).database(server.connect, **options)


def test_a_block_waits_for_a_connection() -> None:
    """Whoever comes when all are in use gets the first one that comes back."""
    pool, until = real_pool(Server(), limit=1), threading.Event()
    thread = elsewhere(pool(), until)
    threading.Timer(0.05, until.set).start()
    with pool():
        thread.join(10)
    assert pool.idle == 1


@pytest.mark.parametrize("bound", ["patience", "invocation"])
def test_nobody_waits_for_ever(bound: str) -> None:
    """Waiting ends with the patience, or when the invocation must be done, and the error says what to do."""
    pool = real_pool(Server(), limit=1, name="orders", patience=0.1 if bound == "patience" else 60)
    until = threading.Event()
    thread = elsewhere(pool(), until)
    left = time.monotonic() + 0.6
    call = Call(remaining=lambda: int((left - time.monotonic()) * 1000) if bound == "invocation" else 60_000)
    token = active_call.set(call)
    began = time.monotonic()
    try:
        with pytest.raises(PoolExhausted, match="all 1 of 'orders' are in use by other threads"), pool():
            pytest.fail("there was none to give")
    finally:
        active_call.reset(token)
        until.set()
        thread.join(10)
    assert time.monotonic() - began < 3


def test_many_threads_share_few_connections() -> None:
    """Under contention no two threads have the same connection, and there are never more than the limit."""
    server = Server()
    pool, users, seen = real_pool(server, limit=3), set(), []

    def work() -> None:
        for _ in range(200):
            with pool() as connection:
                assert connection not in users
                users.add(connection)
                seen.append(len(server.open))
                users.remove(connection)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1600
    assert max(seen) <= 3
    pool.close()
    assert server.open == []


def test_a_recycle_closes_everything() -> None:
    """What is idle is closed at once, what is in use when its block ends; then the pool works on."""
    server = Server()
    group, recycled = server.group()
    pool = group.database(server.connect)
    with pool() as busy:
        with pool() as idle:
            pass
        [close] = recycled
        close()
        assert (idle.closed, busy.closed) == (True, False)
    assert busy.closed
    with pool() as fresh:
        assert not fresh.closed


def test_one_pool_that_cannot_be_closed_keeps_no_other_open() -> None:
    """Closing goes on after an exception."""
    server = Server()
    group, _ = server.group()
    broken, pool = group.database(server.connect), group.database(server.connect)
    with pool():
        pass

    def fail() -> None:
        raise RuntimeError

    broken.close = fail  # type: ignore[method-assign]
    group._closers[0] = fail
    group.close()
    assert server.open == []


def test_a_block_is_entered_once() -> None:
    """A loan that is entered again while it has a connection would lose one of the two."""
    loan = Server().pool()()
    with loan, pytest.raises(RuntimeError, match="has a connection already"), loan:
        pytest.fail("it was entered twice")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "limit is 0; allowed: 1 connection or more"),
        ({"max_age": 0}, "max_age is 0; allowed: more than 0 seconds"),
        ({"limit": 0, "patience": -1}, "limit is 0; .*patience is -1"),
    ],
)
def test_a_wrong_number_is_named(options: dict[str, Any], said: str) -> None:
    """A pool that could never lend anything is refused when it is made, with all its faults."""
    with pytest.raises(ValueError, match=f"Connections: 'orders': {said}"):
        Server().pool(name="orders", **options)


def test_a_real_driver_commits_and_rolls_back(tmp_path: Any) -> None:
    """With sqlite3, a block's work is there after it ends well, and gone after it raised."""
    connect: Callable[[], sqlite3.Connection] = lambda: sqlite3.connect(tmp_path / "orders.db")  # noqa: E731
    pool = Connections(on_recycle=lambda close: None).database(connect, limit=1)
    with pool() as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with pool() as db:
        db.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError), pool() as db:
        db.executemany("INSERT INTO orders VALUES (?)", [(2,), (2,)])
    with pool() as db:
        assert db.execute("SELECT id FROM orders").fetchall() == [(1,)]
    pool.close()


def test_connections_are_closed_when_the_environment_is_recycled() -> None:
    """Without being told, a group registers itself with the runtime."""
    from resilient_runtime.health import callbacks

    before = list(callbacks._registered)
    group = Connections()
    try:
        assert [f for f in callbacks._registered if f not in before] == [group.close]
    finally:
        callbacks._registered[:] = before


def test_no_http_client_is_imported_before_it_is_asked_for() -> None:
    """A handler with a database alone does not pay for an HTTP client at its cold start."""
    code = (
        "import sys; from resilient_runtime import Connections; Connections().database(dict); "
        "print({'httpx', 'requests', 'urllib3', 'socket', 'select', 'random'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": RUNTIME},
    )
    assert done.stdout.strip() == "set()"
