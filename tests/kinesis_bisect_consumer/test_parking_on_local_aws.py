"""Keys that wait behind their poison on the local AWS: kept, replayed to a mended handler, and freed."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from deployed import Deployed
from grants_in_use import denied_and_unused
from stored_entries import assert_stored_once, assert_whole

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.operate.poison import Entry, QueuedPoison
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

REPOSITORY = Path(__file__).parents[2]
RECORDS = 40
KEYS = 5
BAD, LARGE, DEADLY = 7, 20, 13
PATIENCE = 120.0


def payload(number: int) -> bytes:
    """What a record says; one of them is larger than a message once it is written as base64."""
    kind = {BAD: "bad", LARGE: "bad", DEADLY: "deadly"}.get(number, "good")
    padding = "x" * 900_000 if number == LARGE else ""
    return json.dumps({"number": number, "kind": kind, "padding": padding}).encode()


@dataclass(frozen=True, kw_only=True)
class Parking(Deployed):
    """The deployed app, what its handler wrote down, and its store."""

    stack = "Parking"
    folder: Path

    @property
    def queue(self) -> str:
        """The URL of its poison queue."""
        return self.made("AWS::SQS::Queue", "OrdersPoisonQueue")

    def put(self, numbers: Iterable[int]) -> None:
        """Records, at once."""
        records = [{"Data": payload(number), "PartitionKey": f"k{number % KEYS}"} for number in numbers]
        stream = self.made("AWS::Kinesis::Stream", "OrdersStream")
        self.aws.client("kinesis").put_records(StreamName=stream, Records=records)

    def settle(self, count: int) -> None:
        """Wait until so many are either done or kept."""
        until = time.monotonic() + PATIENCE
        while len(self.done()) + len(self.kept()) < count:
            assert time.monotonic() < until, (self.done(), [entry.told for entry in self.kept()])
            time.sleep(1)

    def mend(self) -> None:
        """From now on the handler can do everything."""
        (self.folder / "mended").touch()

    def done(self) -> list[tuple[int, str]]:
        """Number and key of what was done, in that order, without what was done again."""
        file = self.folder / "done"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(number), key) for number, key in dict.fromkeys(tuple(line.split(" ")) for line in lines)]

    def kept(self) -> list[Entry]:
        """What is in the poison store."""
        store = QueuedPoison(self.queue, self.aws.client)
        entries = store.take()
        store.release(entries)
        return entries

    def replay(self) -> str:
        """``resilient poison replay``, straight to the handler."""
        command = ["poison", "replay", "--all", "--to", "handler", "--queue", self.queue]
        command += ["--function", self.made("AWS::Lambda::Function", "OrdersFunction")]
        environment = self.aws.environment() | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/runtime"}
        code = "from resilient_constructs.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def parking(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Parking:
    """The app, its records put and everything either done or kept.

    The one that kills its process comes last: what had been kept in its batch would be kept again.
    """
    folder = tmp_path_factory.mktemp("parking")
    app = Path(__file__).parent / "parking_app" / "app.py"
    deployment = deploy(
        local_aws,
        app=f"{sys.executable} {app}",
        context={"done": str(folder / "done"), "mended": str(folder / "mended")},
    )
    parking = Parking(deployment=deployment, folder=folder)
    parking.put(number for number in range(RECORDS) if number != DEADLY)
    parking.settle(RECORDS - 1)
    parking.put([DEADLY])
    parking.settle(RECORDS)
    return parking


def test_poison_its_followers_and_the_dead_are_kept_and_freed(parking: Parking) -> None:
    """Every record is done or kept; once that is mended, a replay does the rest, in each key's order."""
    kept = parking.kept()
    kinds = Counter(str(entry.told["kind"]) for entry in kept)
    assert kinds == {"POISON": 2, "GIVEN_UP": 1, "PARKED": 9}
    assert {entry.key for entry in kept if entry.told["kind"] == "PARKED"} == {"k0", "k2"}
    assert_stored_once(kept)
    for entry in kept:
        assert entry.record is not None
        number = json.loads(base64.b64decode(entry.record["kinesis"]["data"]))["number"]
        assert_whole(entry, payload=payload(number), key=f"k{number % KEYS}", tries=range(2, 3))
    (large,) = [entry for entry in kept if entry.stored_in is not None]
    assert large.stored_in is not None
    assert large.stored_in[1].startswith("Parking-Orders-")

    parking.mend()
    assert "goes on" in parking.replay()
    assert parking.kept() == []
    done = parking.done()
    assert sorted(number for number, _ in done) == list(range(RECORDS))
    for key in ("k0", "k1", "k2", "k4"):
        numbers = [number for number, of in done if of == key]
        assert numbers == sorted(numbers), key

    table = parking.made("AWS::DynamoDB::Table", "OrdersParkedKeys")
    names = [item["name"]["S"] for item in parking.aws.client("dynamodb").scan(TableName=table)["Items"]]
    assert names == ["version"]


def test_no_grant_is_missing(parking: Parking) -> None:
    """Every call of the run above was allowed by a deployed policy; only what went well is unused."""
    denied, unused = denied_and_unused(parking.aws, "Parking")
    assert denied == []
    assert unused == {
        "resolver s3:PutObject",
        "resolver sqs:ChangeMessageVisibility",
        "resolver sqs:SendMessage of dead letters",
    }
