"""The example's handler against a real PostgreSQL server that goes away between invocations."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pg8000.dbapi
import psycopg
import pytest
from postgres_server import PostgresServer
from resilient_runtime import Call, Connections, Reject
from resilient_runtime.application import build
from resilient_runtime.connections import Pool

HANDLER = Path(__file__).parents[2] / "examples" / "handlers" / "ledger"
TABLE = (
    "CREATE TABLE bookings (idempotency_key text PRIMARY KEY, order_id text NOT NULL, "
    "parcels integer CHECK (parcels > 0))"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with an empty ledger."""
    with PostgresServer() as running:
        with psycopg.connect(running.url) as connection:
            connection.execute(TABLE)
        yield running


@pytest.fixture
def handler(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The handler's module as a fresh environment has it."""
    monkeypatch.setenv("LEDGER_URL", server.url)
    monkeypatch.syspath_prepend(str(HANDLER))
    sys.modules.pop("ledger", None)
    module = importlib.import_module("ledger")
    yield module
    module.ledger.close()
    sys.modules.pop("ledger", None)


class NotUsed:
    """A dead-letter queue that these tests need not."""

    def store(self, record: object, rejection: object) -> bool:
        """Take nothing."""
        raise AssertionError


def invoke(path: str, order_id: str) -> list[dict[str, str]]:
    """Invoke the function with one message; what it returns to the queue."""
    run = build(
        {"RESILIENT_HANDLER": path, "RESILIENT_MODE": "messages", "AWS_LAMBDA_FUNCTION_NAME": "Ledger"},
        emit=lambda line: None,
        dead_letters=NotUsed(),
    )
    record = {"messageId": order_id, "body": json.dumps({"order_id": order_id}), "attributes": {}}
    answer = run({"Records": [record]}, types.SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000))
    failures: list[dict[str, str]] = answer["batchItemFailures"]
    return failures


def booked(server: PostgresServer, order_id: str) -> int:
    """How often an order is in the ledger."""
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT count(*) FROM bookings WHERE order_id = %s", [order_id]).fetchone()
    assert row is not None
    return int(row[0])


def test_an_order_is_booked_once(server: PostgresServer, handler: types.ModuleType) -> None:
    """A second attempt under the same idempotency key changes nothing."""
    for _ in range(2):
        handler.book({"order_id": "twice"}, Call(idempotency_key="k-twice"))
    assert booked(server, "twice") == 1


def test_what_the_ledger_refuses_is_rejected(server: PostgresServer, handler: types.ModuleType) -> None:
    """A booking that violates the ledger's own rule is poison, and the connection lives on."""
    handler.book({"order_id": "good"}, Call(idempotency_key="k-good"))
    with pytest.raises(Reject, match="without parcels"):
        handler.book({"order_id": "bad", "parcels": 0}, Call(idempotency_key="k-bad"))
    assert handler.ledger.idle == 1
    assert booked(server, "bad") == 0


@pytest.mark.parametrize("fault", ["crash", "restart"])
def test_the_next_invocation_succeeds(server: PostgresServer, handler: types.ModuleType, fault: str) -> None:
    """After the server crashed or was restarted between two invocations, the next one books its order."""
    assert invoke("ledger.book", f"before-{fault}") == []
    getattr(server, fault)()
    assert invoke("ledger.book", f"after-{fault}") == []
    assert (booked(server, f"before-{fault}"), booked(server, f"after-{fault}")) == (1, 1)


@pytest.mark.parametrize("fault", ["crash", "restart"])
def test_without_a_pool_it_fails(server: PostgresServer, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection kept in a global, as handlers have it, returns the next message to its queue."""
    module: Any = types.ModuleType("plain_ledger")
    module.db = psycopg.connect(server.url, autocommit=True)

    def book(order: dict[str, Any], call: Call) -> None:
        module.db.execute(
            "INSERT INTO bookings VALUES (%s, %s, 1)", [call.idempotency_key, order["order_id"]]
        )

    module.book = book
    monkeypatch.setitem(sys.modules, "plain_ledger", module)
    assert invoke("plain_ledger.book", f"plain-before-{fault}") == []
    getattr(server, fault)()
    assert invoke("plain_ledger.book", f"plain-after-{fault}") == [{"itemIdentifier": f"plain-after-{fault}"}]
    module.db.close()


def by_psycopg(server: PostgresServer) -> Callable[[], Any]:
    """psycopg, on top of libpq."""
    return lambda: psycopg.connect(server.url)


def by_pg8000(server: PostgresServer) -> Callable[[], Any]:
    """pg8000, pure Python, which hides its socket."""
    return lambda: pg8000.dbapi.connect(
        user="postgres", host="127.0.0.1", port=server.port, database="postgres", timeout=5
    )


def pool_of(connect: Callable[[], Any], **options: Any) -> Pool[Any]:
    """A pool of one connection."""
    return Connections(on_recycle=lambda close: None).database(connect, limit=1, **options)


def ask(pool: Pool[Any], statement: str) -> list[tuple[Any, ...]]:
    """What the server answers, by the verbs that all drivers have."""
    with pool() as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


@pytest.mark.parametrize("driver", [by_psycopg, by_pg8000])
@pytest.mark.parametrize("fault", ["crash", "restart"])
def test_every_driver_survives(server: PostgresServer, driver: Any, fault: str) -> None:
    """A connection whose server went away is replaced before it is handed out."""
    pool = pool_of(driver(server))
    before = ask(pool, "SELECT pg_backend_pid()")
    assert ask(pool, "SELECT pg_backend_pid()") == before
    getattr(server, fault)()
    assert ask(pool, "SELECT pg_backend_pid()") != before
    pool.close()


@pytest.mark.parametrize("driver", [by_psycopg, by_pg8000])
def test_a_ping_leaves_no_transaction_open(server: PostgresServer, driver: Any) -> None:
    """A connection that was asked is handed out as it was: idle, and the same one."""
    pool = pool_of(driver(server), check_after=1e-9)
    before = ask(pool, "SELECT pg_backend_pid()")
    for _ in range(3):
        assert ask(pool, "SELECT pg_backend_pid()") == before
    state = f"SELECT state FROM pg_stat_activity WHERE pid = {before[0][0]}"
    assert ask(pool_of(by_psycopg(server)), state) == [("idle",)]
    pool.close()


def test_what_was_interrupted_is_never_used_again(server: PostgresServer) -> None:
    """A block that ends in the middle of an answer leaves nothing of it for the next one."""
    pool = pool_of(by_psycopg(server))
    first = ask(pool, "SELECT pg_backend_pid()")

    def interrupted() -> None:
        with pool() as connection:
            connection.pgconn.send_query(b"SELECT 'half an answer'")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ask(pool, "SELECT 1") == [(1,)]
    assert ask(pool, "SELECT pg_backend_pid()") != first
    pool.close()


def test_a_recycle_ends_the_servers_side_too(server: PostgresServer) -> None:
    """After the pool was closed, the server has no session of it."""
    pool = pool_of(lambda: psycopg.connect(server.url, application_name="recycled"))
    ask(pool, "SELECT 1")
    pool.close()
    watch = pool_of(by_psycopg(server))
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'recycled'"
    for _ in range(100):
        if ask(watch, sessions) == [(0,)]:
            break
    assert ask(watch, sessions) == [(0,)]
    watch.close()
