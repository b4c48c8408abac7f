"""Thousands of records through four shards on the local AWS, with poison, an outage and two deaths."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from deaths import kill, wait_for
from sizes import sized

from resilient_constructs.local import Deployment, LocalAws, deploy
from resilient_constructs.operate.poison import QueuedPoison
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Streamed"
RECORDS = sized(20_000, 6_000)
KEYS = 400
OUTAGE = sized(30.0, 10.0)
# One in two hundred: the handler cannot read it, the courier alone refuses it, or the process dies of it.
POISON = {
    number: "deadly" if at < 2 else ("unreadable", "refused")[at % 2]
    for at, number in enumerate(Random(6).sample(range(RECORDS), RECORDS // 200))
}


@dataclass
class Courier:
    """Answers 200; 422 for what it refuses, and 503 while it is down."""

    is_down: bool = False
    calls_while_down: int = 0
    port: int = 0
    delivered: set[int] = field(default_factory=set)

    def answer(self, number: int, kind: str) -> int:
        """The status for one call."""
        if self.is_down:
            self.calls_while_down += 1
            return 503
        if kind == "refused":
            return 422
        self.delivered.add(number)
        return 200


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """A courier on a free port."""
    courier = Courier()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _, number, kind = self.path.split("/")
            self.send_response(courier.answer(int(number), kind))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Callers are killed here; that they hang up is what is wanted."""

    server = Server(("127.0.0.1", 0), Handler)
    courier.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield courier
    server.shutdown()


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """The deployed app, and what its handler wrote down."""

    deployment: Deployment
    done_file: Path

    @property
    def aws(self) -> LocalAws:
        """The local AWS it is on."""
        return self.deployment.aws

    def made(self, kind: str, part: str) -> str:
        """The physical ID of the one resource of a type whose logical ID has this in it."""
        (found,) = [
            name
            for name, one in self.deployment.templates[STACK].resources.items()
            if one.type == kind and part in name
        ]
        return self.deployment.physical_id(found)

    def put(self) -> None:
        """All records, those of one key in the order of their numbers."""
        name = self.made("AWS::Kinesis::Stream", "Orders")
        client = self.aws.client("kinesis")

        def put(start: int) -> None:
            client.put_records(
                StreamName=name,
                Records=[
                    {
                        "Data": json.dumps({"number": one, "kind": POISON.get(one, "good")}).encode(),
                        "PartitionKey": f"k{one % KEYS}",
                    }
                    for one in range(start, start + 500)
                ],
            )

        for start in range(0, RECORDS, 500):
            put(start)

    def done(self) -> list[tuple[int, str]]:
        """Number and key of each record that was done, in the order in which they were."""
        if not self.done_file.exists():
            return []
        lines = self.done_file.read_text().splitlines()
        return [(int(number), key) for number, _, key in (line.partition(" ") for line in lines)]

    def poison(self) -> list[dict[str, Any]]:
        """Everything in the poison store."""
        store = QueuedPoison(self.made("AWS::SQS::Queue", "PoisonQueue"), self.aws.client)
        entries = store.take()
        store.release(entries)
        return [dict(entry.told) for entry in entries]


@pytest.fixture(scope="module")
def streamed(local_aws: LocalAws, courier: Courier, tmp_path_factory: pytest.TempPathFactory) -> Streamed:
    """The app, deployed."""
    done = tmp_path_factory.mktemp("stream") / "done"
    return Streamed(
        deployment=deploy(
            local_aws,
            app="python tests/kinesis_bisect_consumer/stream_app/app.py",
            cwd=REPOSITORY,
            context={"courier_port": str(courier.port), "done": str(done)},
        ),
        done_file=done,
    )


def test_no_good_record_is_lost_and_all_poison_is_kept_whole(streamed: Streamed, courier: Courier) -> None:
    """Through poison, an outage and two killed processes every good record is done, in its key's order."""
    streamed.put()
    wait_for("some records", lambda: len(streamed.done()) > RECORDS // 10)
    assert kill(streamed.aws, "Orders") >= 1
    wait_for("more records", lambda: len(streamed.done()) > RECORDS // 3)
    courier.is_down = True
    time.sleep(OUTAGE)
    courier.is_down = False
    wait_for("records after the outage", lambda: len(streamed.done()) > RECORDS * 3 // 5)
    assert kill(streamed.aws, "Orders") >= 1
    good = set(range(RECORDS)) - POISON.keys()
    wait_for("all good records", lambda: good <= {number for number, _ in streamed.done()})
    wait_for("all poison", lambda: len({_number(entry) for entry in streamed.poison()}) == len(POISON))

    entries = streamed.poison()
    done = streamed.done()
    print(
        f"{RECORDS} records = {len({number for number, _ in done})} done + {len(entries)} kept as poison; "
        f"{len(done) - len(good)} done twice; {courier.calls_while_down} calls into {OUTAGE:.0f} s of outage"
    )
    assert {_number(entry) for entry in entries} == POISON.keys()
    assert {_number(one) for one in entries if one["kind"] == "GIVEN_UP"} == {
        number for number, kind in POISON.items() if kind == "deadly"
    }
    assert {number for number, _ in done} == good
    assert courier.delivered == good
    _assert_in_order(done)
    assert courier.calls_while_down < 200


def _number(entry: dict[str, Any]) -> int:
    said: dict[str, int] = json.loads(base64.b64decode(entry["record"]["kinesis"]["data"]))
    return said["number"]


def _assert_in_order(done: list[tuple[int, str]]) -> None:
    first: dict[str, dict[int, None]] = {}
    for number, key in done:
        first.setdefault(key, {}).setdefault(number)
    for numbers in first.values():
        assert list(numbers) == sorted(numbers)
