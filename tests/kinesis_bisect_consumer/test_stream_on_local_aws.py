"""Thousands of records through four shards on the local AWS, with poison, an outage and two deaths."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from answering import answering
from deaths import kill, wait_for
from deployed import Deployed
from grants_in_use import denied_and_unused
from sizes import sized
from stored_entries import assert_stored_once, assert_whole

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.operate.poison import Entry, QueuedPoison
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Streamed"
RECORDS = sized(20_000, 4_000)
KEYS = 400
OUTAGE = sized(30.0, 10.0)
CALM = RECORDS // 2000 * 500
"""So many records come before anything dies: what is kept of them is kept once."""
# One in two hundred: the handler cannot read it, the courier alone refuses it, or the process dies of it.
POISON = {
    number: ("unreadable", "refused")[at % 2]
    for at, number in enumerate(Random(6).sample(range(RECORDS), RECORDS // 200))
}
POISON |= dict.fromkeys([number for number in POISON if number >= CALM][:2], "deadly")
KINDS = {"deadly": "GIVEN_UP", "unreadable": "POISON", "refused": "POISON"}
ERRORS = {"deadly": "", "unreadable": "KeyError: ", "refused": "ConnectionError: the courier answers 422"}


def payload(number: int) -> bytes:
    """What a record says."""
    return json.dumps({"number": number, "kind": POISON.get(number, "good")}).encode()


@dataclass
class Courier:
    """Answers 200; 422 for what it refuses, and 503 while it is down."""

    is_down: bool = False
    calls_while_down: int = 0
    port: int = 0
    delivered: set[int] = field(default_factory=set)

    def answer(self, number: str, kind: str) -> int:
        """The status for one call."""
        if self.is_down:
            self.calls_while_down += 1
            return 503
        if kind == "refused":
            return 422
        self.delivered.add(int(number))
        return 200


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """A courier on a free port."""
    courier = Courier()
    with answering(lambda path: courier.answer(*path.split("/"))) as courier.port:
        yield courier


@dataclass(frozen=True, kw_only=True)
class Streamed(Deployed):
    """The deployed app, and what its handler wrote down."""

    stack = STACK
    done_file: Path

    def put(self, begin: int, end: int) -> None:
        """Records, those of one key in the order of their numbers."""
        name = self.made("AWS::Kinesis::Stream", "Orders")
        client = self.aws.client("kinesis")

        def put(start: int) -> None:
            client.put_records(
                StreamName=name,
                Records=[
                    {"Data": payload(one), "PartitionKey": f"k{one % KEYS}"}
                    for one in range(start, start + 500)
                ],
            )

        for start in range(begin, end, 500):
            put(start)

    def done(self) -> list[tuple[int, str]]:
        """Number and key of each record that was done, in the order in which they were."""
        if not self.done_file.exists():
            return []
        lines = self.done_file.read_text().splitlines()
        return [(int(number), key) for number, _, key in (line.partition(" ") for line in lines)]

    def poison(self) -> list[Entry]:
        """Everything in the poison store."""
        store = QueuedPoison(self.made("AWS::SQS::Queue", "OrdersPoisonQueue"), self.aws.client)
        entries = store.take()
        store.release(entries)
        return entries


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
    streamed.put(0, CALM)
    calm = {number for number in POISON if number < CALM}
    wait_for("the first good records", lambda: len(streamed.done()) >= CALM - len(calm))
    wait_for("the first poison", lambda: len(streamed.poison()) == len(calm))
    assert_stored_once(streamed.poison())

    streamed.put(CALM, RECORDS)
    wait_for("some records", lambda: len(streamed.done()) > CALM + RECORDS // 20)
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
    kinds = {_number(entry): entry.told["kind"] for entry in entries}
    assert kinds == {number: KINDS[kind] for number, kind in POISON.items()}
    for entry in entries:
        number = _number(entry)
        assert_whole(entry, payload=payload(number), key=f"k{number % KEYS}", tries=range(2, 4))
        assert ERRORS[POISON[number]] in entry.told["error"]
    assert {number for number, _ in done} == good
    assert courier.delivered == good
    _assert_in_order(done)
    assert courier.calls_while_down < 200


def test_no_grant_is_missing(streamed: Streamed) -> None:
    """Every call of the run above was allowed by a deployed policy; only what went well is unused."""
    denied, unused = denied_and_unused(streamed.aws, STACK)
    assert denied == []
    assert unused == {
        "function s3:PutObject",
        "resolver s3:PutObject",
        "resolver sqs:ChangeMessageVisibility",
        "resolver sqs:SendMessage of dead letters",
    }


def _number(entry: Entry) -> int:
    assert entry.record is not None
    said: dict[str, int] = json.loads(base64.b64decode(entry.record["kinesis"]["data"]))
    return said["number"]


def _assert_in_order(done: list[tuple[int, str]]) -> None:
    first: dict[str, dict[int, None]] = {}
    for number, key in done:
        first.setdefault(key, {}).setdefault(number)
    for numbers in first.values():
        assert list(numbers) == sorted(numbers)
