"""An account with a stream and a poison store, for the tests of ``resilient poison``."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys
from resilient_runtime.stores.poison import PoisonQueue
from resilient_runtime.streams.entries import Kind, entry_of
from resilient_runtime.streams.records import StreamRecord, read_record
from typer.testing import CliRunner, Result

from resilient_constructs.operate import poison_command

__all__ = ["SHARD", "STREAM", "World"]

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
        self.patch = monkeypatch
        self.url = self.sqs.create_queue(QueueName="Shop-OrdersPoisonQueue1A2B")["QueueUrl"]
        self.s3.create_bucket(Bucket="poison", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.kinesis.create_stream(StreamName="orders", ShardCount=1)
        self.dynamodb.create_table(
            TableName="Parked",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.keys = DynamoDBParkedKeys("Parked", connect=lambda: self.dynamodb)
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
        record = self.record(sequence, key, b"x" * size)
        entry = entry_of(
            record, kind, reason="it failed again, alone", stored_at="2027-01-15T08:00:00.000Z", **more
        )
        self.store.store(entry)

    def record(self, sequence: int, key: str = "k", data: bytes = b"") -> StreamRecord:
        """A record of the stream; its data is its number where none is given."""
        return read_record(
            {
                "kinesis": {
                    "partitionKey": key,
                    "sequenceNumber": str(sequence),
                    "data": base64.b64encode(data or str(sequence).encode()).decode(),
                    "approximateArrivalTimestamp": 1_800_000_000.0,
                },
                "eventSource": "aws:kinesis",
                "eventID": f"{SHARD}:{sequence}",
                "eventSourceARN": STREAM,
            }
        )

    def park(self, poison: int, *followers: int, key: str = "k") -> None:
        """Park a key long ago because of a record, and keep it with what came after it."""
        self.keys.add(key, self.record(poison, key))
        self.dynamodb.update_item(
            TableName="Parked",
            Key={"name": {"S": f"key:{key}"}},
            UpdateExpression="SET since = :then",
            ExpressionAttributeValues={":then": {"N": "1"}},
        )
        self.keep(poison, key, parked_table="Parked")
        for follower in followers:
            self.keys.wait(key, self.record(follower, key))
            self.keep(follower, key, kind="PARKED", parked_table="Parked")

    def parked(self) -> set[str]:
        """The keys that are parked now."""
        return DynamoDBParkedKeys("Parked", connect=lambda: self.dynamodb).read()

    def hides(self, *sequences: int) -> None:
        """Somebody else receives these and holds them; what else was received is put back."""
        messages = []
        while some := self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=900
        ).get("Messages"):
            messages += some
        for message in messages:
            if int(json.loads(message["Body"])["sequence_number"]) not in sequences:
                self.sqs.change_message_visibility(
                    QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )

    def refuses(
        self, patch: pytest.MonkeyPatch, service: str, call: str, code: str = "AccessDeniedException"
    ) -> None:
        """From now on AWS refuses a call."""

        def refused(*_: Any, **__: Any) -> None:
            said = {"Error": {"Code": code, "Message": "no identity-based policy allows it"}}
            raise ClientError(said, call)

        patch.setattr(getattr(self, service), call, refused)

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
