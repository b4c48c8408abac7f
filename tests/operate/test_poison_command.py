from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys
from resilient_runtime.stores.poison import PoisonQueue
from resilient_runtime.streams.entries import Kind, entry_of
from resilient_runtime.streams.records import read_record
from typer.testing import CliRunner, Result

from resilient_constructs.operate import poison_command

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
SHARD = "shardId-000000000000"


class FakeLambda:
    """A function that answers as it is told, and keeps what it was invoked with."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.gives_back: set[str] = set()
        self.fails = False

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        """See boto3."""
        event = json.loads(arguments["Payload"])
        self.events.append(event)
        numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
        failures = [{"itemIdentifier": one} for one in numbers if one in self.gives_back][:1]
        said = json.dumps({"batchItemFailures": failures}).encode()
        more = {"FunctionError": "Unhandled"} if self.fails else {}
        return {"Payload": _Body(said), **more}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content


class World:
    """An account with a stream and a poison store, and the command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sqs = boto3.client("sqs", region_name="eu-west-1")
        self.s3 = boto3.client("s3", region_name="eu-west-1")
        self.kinesis = boto3.client("kinesis", region_name="eu-west-1")
        self.dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
        self.function = FakeLambda()
        self.url = self.sqs.create_queue(QueueName="Shop-OrdersPoisonQueue1A2B")["QueueUrl"]
        self.s3.create_bucket(Bucket="poison", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.kinesis.create_stream(StreamName="orders", ShardCount=1)
        self.dynamodb.create_table(
            TableName="Parked",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.store = PoisonQueue(
            self.url, "poison", connect_queue=lambda: self.sqs, connect_bucket=lambda: self.s3
        )
        clients = {
            "sqs": self.sqs,
            "s3": self.s3,
            "kinesis": self.kinesis,
            "dynamodb": self.dynamodb,
            "lambda": self.function,
        }
        monkeypatch.setattr(poison_command, "_connect", clients.__getitem__)

    def keep(
        self, sequence: int, key: str = "k", *, kind: Kind = "POISON", size: int = 0, **more: Any
    ) -> None:
        """Store a record as the runtime does."""
        record = read_record(
            {
                "kinesis": {
                    "partitionKey": key,
                    "sequenceNumber": str(sequence),
                    "data": base64.b64encode(b"x" * size or str(sequence).encode()).decode(),
                    "approximateArrivalTimestamp": 1_800_000_000.0,
                },
                "eventSource": "aws:kinesis",
                "eventID": f"{SHARD}:{sequence}",
                "eventSourceARN": STREAM,
            }
        )
        entry = entry_of(
            record, kind, reason="it failed again, alone", stored_at="2027-01-15T08:00:00.000Z", **more
        )
        self.store.store(entry)

    def run(self, *words: str) -> Result:
        """``resilient poison …``."""
        return CliRunner().invoke(poison_command.poison, list(words))

    def ids(self) -> list[str]:
        """What is in the store now, as the command lists it."""
        lines = self.run("list", "--json").stdout.splitlines()
        return [json.loads(line)["id"].rpartition(":")[2] for line in lines]

    def streamed(self) -> list[str]:
        """What is in the stream."""
        iterator = self.kinesis.get_shard_iterator(
            StreamName="orders", ShardId=SHARD, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return [one["Data"].decode() for one in self.kinesis.get_records(ShardIterator=iterator)["Records"]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty account."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr("resilient_constructs.operate.poison._WAIT_SECONDS", 0)
    with mock_aws():
        yield World(monkeypatch)


def test_records_are_listed_in_the_order_of_their_keys(world: World) -> None:
    """The list is sorted by key and, within one, as the stream had them; a record kept twice is one."""
    for sequence, key in ((9, "b"), (10, "a"), (2, "a"), (2, "a")):
        world.keep(sequence, key)
    assert world.ids() == ["2", "10", "9"]


def test_looking_takes_nothing_out(world: World) -> None:
    """What was listed or shown is there for the next one who looks."""
    world.keep(1)
    assert world.ids() == ["1"]
    shown = json.loads(world.run("show", f"{SHARD}:1").stdout)
    assert base64.b64decode(shown["record"]["kinesis"]["data"]) == b"1"
    assert world.ids() == ["1"]


def test_a_record_too_large_for_a_message_is_kept_whole_in_the_bucket(world: World) -> None:
    """A record beyond SQS's limit comes back whole, and its object goes when it does."""
    world.keep(1, size=1_000_000)
    shown = json.loads(world.run("show", f"{SHARD}:1").stdout)
    assert len(base64.b64decode(shown["record"]["kinesis"]["data"])) == 1_000_000
    assert world.run("discard", "--all", "--reason", "too large").exit_code == 0
    assert world.s3.list_objects_v2(Bucket="poison").get("Contents", []) == []


def test_replaying_to_the_stream_keeps_the_order_of_a_key(world: World) -> None:
    """Records go back into the stream in their keys' order, and leave the store."""
    for sequence in (10, 9, 2):
        world.keep(sequence)
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 0, result.output
    assert world.streamed() == ["2", "9", "10"]
    assert world.ids() == []


def test_what_the_handler_gives_back_stays_with_all_that_follows_it(world: World) -> None:
    """A record that fails again keeps the later ones of its key in the store; other keys are done."""
    for sequence, key in ((1, "a"), (2, "a"), (3, "a"), (4, "b")):
        world.keep(sequence, key)
    world.function.gives_back = {"2"}
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert world.ids() == ["2", "3"]
    assert all(event["resilient_replay"] is True for event in world.function.events)


def test_a_function_that_fails_keeps_everything(world: World) -> None:
    """An invocation that ends in an error removes nothing."""
    world.keep(1)
    world.function.fails = True
    assert world.run("replay", "--all", "--to", "handler", "--function", "Orders").exit_code == 1
    assert world.ids() == ["1"]


def test_a_position_without_its_record_cannot_be_replayed(world: World) -> None:
    """What the stream had dropped stays until somebody discards it, and it is said why."""
    world.store.store(
        {
            "version": 1,
            "kind": "EXPIRED",
            "stream": STREAM,
            "shard": SHARD,
            "sequence_number": "3",
            "record": None,
        }
    )
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "only its position is known" in result.output
    assert world.ids() == ["3"]


def test_a_parked_key_goes_on_when_all_of_it_is_replayed(world: World) -> None:
    """After the last record of a parked key was done again, the key is no longer parked."""
    keys = DynamoDBParkedKeys("Parked", connect=lambda: world.dynamodb)
    poison = read_record(
        {
            "kinesis": {"partitionKey": "k", "sequenceNumber": "1", "data": ""},
            "eventSource": "aws:kinesis",
            "eventID": f"{SHARD}:1",
            "eventSourceARN": STREAM,
        }
    )
    keys.add("k", poison)
    keys.wait("k", poison._replace(sequence="12"))
    world.keep(1, parked_table="Parked")
    world.keep(12, kind="PARKED", parked_table="Parked")
    assert keys.read() == {"k"}
    world.run("replay", f"{SHARD}:1", "--to", "handler", "--function", "Orders")
    assert keys.read() == {"k"}
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 0, result.output
    assert keys.read() == set()


def test_a_parked_key_is_not_replayed_to_the_stream(world: World) -> None:
    """Behind what is in the stream its records would be overtaken, so they stay and it is said why."""
    world.keep(1, parked_table="Parked")
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "its key is parked" in result.output
    assert world.streamed() == []
    assert world.ids() == ["1"]


def test_a_key_stays_parked_when_a_record_was_kept_behind_it_meanwhile(world: World) -> None:
    """A record that was parked after the store was read is not overtaken by those that follow it."""
    keys = DynamoDBParkedKeys("Parked", connect=lambda: world.dynamodb)
    world.keep(1, parked_table="Parked")
    record = read_record(
        {
            "kinesis": {"partitionKey": "k", "sequenceNumber": "20", "data": ""},
            "eventSource": "aws:kinesis",
            "eventID": f"{SHARD}:20",
            "eventSourceARN": STREAM,
        }
    )
    keys.add("k", record)
    keys.wait("k", record)
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert "stays parked" in result.output
    assert keys.read() == {"k"}


def test_discarding_needs_a_reason_and_prints_what_is_lost(world: World) -> None:
    """A record is given up only with a reason, and is printed whole before."""
    world.keep(1)
    assert world.run("discard", "--all", "--reason", " ").exit_code == 2
    assert world.ids() == ["1"]
    told = json.loads(world.run("discard", f"{SHARD}:1", "--reason", "test data").stdout)
    assert told["discarded_because"] == "test data"
    assert told["record"]["kinesis"]["sequenceNumber"] == "1"
    assert world.ids() == []


def test_an_unknown_id_changes_nothing(world: World) -> None:
    """One wrong id stops the command, and all wrong ones are named."""
    world.keep(1)
    result = world.run("replay", f"{SHARD}:1", f"{SHARD}:7", f"{SHARD}:8", "--to", "stream")
    assert result.exit_code == 2
    assert f"{SHARD}:7, {SHARD}:8" in result.output
    assert world.ids() == ["1"]


def test_which_records_has_to_be_said(world: World) -> None:
    """Nothing is replayed or discarded by leaving words out."""
    world.keep(1)
    assert world.run("replay", "--to", "stream").exit_code == 2
    assert world.run("discard", "--reason", "x").exit_code == 2
    assert world.run("replay", "--all", "--to", "handler").exit_code == 2
    assert world.run("replay", "--all", "--to", "stream", "--function", "Orders").exit_code == 2
    assert world.ids() == ["1"]


def test_a_message_whose_object_is_gone_keeps_nobody_from_the_rest(world: World) -> None:
    """What was stored twice, and read once when it was removed, leaves a position and not a dead command."""
    world.keep(1, size=1_000_000)
    world.keep(2)
    world.s3.delete_object(Bucket="poison", Key=f"poison/{SHARD}/1.json")
    assert world.ids() == ["1", "2"]
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "only its position is known" in result.output
    assert world.ids() == ["1"]
    assert world.run("discard", "--all", "--reason", "gone").exit_code == 0
    assert world.ids() == []


@pytest.mark.parametrize("first", [True, False])
def test_of_a_record_kept_twice_the_whole_one_is_replayed(world: World, first: bool) -> None:
    """A position that was stored for a record which is there whole, and parked, hides neither."""
    position = {
        "version": 1,
        "kind": "EXPIRED",
        "stream": STREAM,
        "shard": SHARD,
        "sequence_number": "3",
        "record": None,
    }
    if first:
        world.store.store(position)
    world.keep(3, parked_table="Parked")
    world.keep(3, kind="GIVEN_UP")
    if not first:
        world.store.store(position)
    told = json.loads(world.run("show", f"{SHARD}:3").stdout)
    assert told["kind"] == "POISON"
    assert told["parked_table"] == "Parked"


def test_a_handler_is_called_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay waits for as long as a function may take, and never invokes it a second time by itself."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config = poison_command._connect("lambda").meta.config
    assert config.read_timeout >= 900
    assert config.retries["total_max_attempts"] == 1


def test_a_stranger_in_the_queue_is_put_back_with_all_the_others(world: World) -> None:
    """A message that is no entry stops the command, and hides nothing from the next one."""
    world.keep(1)
    world.sqs.send_message(QueueUrl=world.url, MessageBody="hello")
    result = world.run("list")
    assert result.exit_code == 2
    assert "nothing was changed" in result.output
    left = world.sqs.get_queue_attributes(QueueUrl=world.url, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"
    ]
    assert left["ApproximateNumberOfMessages"] == "2"
