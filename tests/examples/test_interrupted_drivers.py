"""Database drivers at the deadline: where they wait, an interruption reaches them in time."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer

_RUNTIME = Path(__file__).parents[2] / "runtime"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with PostgresServer() as running:
        yield running


@pytest.mark.parametrize(
    "connecting", ["psycopg.connect(url)", "__import__('pg8000.dbapi').dbapi.connect('postgres', port=port)"]
)
def test_a_query_is_interrupted_before_lambdas_timeout(server: PostgresServer, connecting: str) -> None:
    """A driver that waits in C, a tenth of a second at a time, is interrupted once and in time."""
    source = f"""
        import json, sys, time
        import psycopg
        from resilient_runtime.deadline import Deadline
        from resilient_runtime.interruption import DeadlineExceeded

        url, port = sys.argv[1], int(sys.argv[2])
        cursor = {connecting}.cursor()
        firings = []
        deadline = Deadline(setting=None, on_fire=firings.append)
        began = time.monotonic()
        deadline.arm(lambda: int((began + 2 - time.monotonic()) * 1000))
        try:
            deadline.enter()
            cursor.execute("SELECT pg_sleep(8)")
        except DeadlineExceeded:
            ended = time.monotonic() - began
        finally:
            deadline.leave()
            deadline.disarm()
        print(json.dumps([ended, len(firings)]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), server.url, str(server.port)],
        env={"PYTHONPATH": str(_RUNTIME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    ended, firings = json.loads(done.stdout)
    assert 1.79 < ended < 2
    assert firings == 1
