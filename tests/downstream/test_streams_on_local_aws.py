"""Mappings of Kinesis and of a table's stream on the local AWS: paused, resumed, no record passed over."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from deaths import wait_for
from deployed import Deployed
from resilient_runtime.breaker.circuit import CircuitState

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.operate.breaker import change, find_table
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Streams"
SOURCES = ("kinesis", "dynamodb")


@dataclass(frozen=True, kw_only=True)
class Streams(Deployed):
    """The deployed app."""

    stack = STACK
    seen: Path

    @property
    def states(self) -> list[str]:
        """What Lambda calls the states of both mappings."""
        uuids = [self.made("AWS::Lambda::EventSourceMapping", name) for name in ("Kinesis", "DynamoDB")]
        functions = self.aws.client("lambda")
        return [functions.get_event_source_mapping(UUID=uuid)["State"] for uuid in uuids]

    def put(self, names: Iterable[str]) -> None:
        """Put records of these names into both streams."""
        stream, table = (
            self.made("AWS::Kinesis::Stream", "Stream"),
            self.made("AWS::DynamoDB::Table", "Items"),
        )
        for name in names:
            self.aws.client("kinesis").put_record(StreamName=stream, Data=name.encode(), PartitionKey="one")
            self.aws.client("dynamodb").put_item(TableName=table, Item={"name": {"S": name}})

    @property
    def handled(self) -> list[list[str]]:
        """What the function was given of each source, in order."""
        lines = self.seen.read_text().splitlines() if self.seen.exists() else []
        return [[line.split()[1] for line in lines if line.startswith(source)] for source in SOURCES]


@pytest.fixture(scope="module")
def streams(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Streams:
    """The app, deployed."""
    seen = tmp_path_factory.mktemp("streams") / "seen"
    deployment = deploy(
        local_aws,
        app="python tests/downstream/streams_app/app.py",
        cwd=REPOSITORY,
        context={"seen": str(seen)},
    )
    return Streams(deployment=deployment, seen=seen)


def test_streams_are_paused_and_go_on_where_they_were(streams: Streams) -> None:
    """Disabled while the circuit is open, enabled to probe and after it; every record comes, in order."""
    streams.put(["a", "b"])
    wait_for("the first records", lambda: streams.handled == [["a", "b"]] * 2)
    circuits = find_table(None, streams.aws.client)
    before = circuits.store.read("Courier").circuit
    now = time.time()
    after = replace(
        before, state=CircuitState.OPEN, version=before.version + 1, changed_at=now, retry_at=now + 6
    )
    assert circuits.store.change("Courier", after, before=before).done
    wait_for("the pause", lambda: streams.states == ["Disabled"] * 2)
    streams.put(["c", "d"])
    time.sleep(1.5)
    assert streams.handled == [["a", "b"]] * 2
    wait_for("the end of the recovery time", lambda: streams.states == ["Enabled"] * 2)
    assert circuits.store.read("Courier").circuit.state is CircuitState.OPEN
    change(circuits, "Courier", CircuitState.CLOSED, reason="a proof", now=time.time())
    wait_for("the other records", lambda: streams.handled == [["a", "b", "c", "d"]] * 2)
    assert streams.states == ["Enabled"] * 2
