"""Probes of event source mappings on Kinesis and DynamoDB streams."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

Stack = Callable[..., dict[str, str]]

# Writes down each batch; fails, gives back or dies as the data says.
_CODE = """
import base64, json, os, time
def handler(event, context):
    if event["Records"][0]["eventSource"] == "aws:kinesis":
        words = [base64.b64decode(one["kinesis"]["data"]).decode() for one in event["Records"]]
        names = [one["kinesis"]["sequenceNumber"] for one in event["Records"]]
    else:
        words = [one["dynamodb"]["NewImage"]["say"]["S"] for one in event["Records"]]
        names = [one["dynamodb"]["SequenceNumber"] for one in event["Records"]]
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(json.dumps(words) + "\\n")
    if "die" in words:
        os._exit(1)
    if "raise" in words:
        raise ValueError("told to")
    if "slow" in words:
        time.sleep(1.5)
    back = [name for name, word in zip(names, words) if word == "back"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in back]}
"""
_ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    },
}


def _resources(seen: Path, *, shards: int = 1, table: bool = False, **mapping: Any) -> dict[str, Any]:
    source = {"Fn::GetAtt": ["Table", "StreamArn"] if table else ["Stream", "Arn"]}
    resources: dict[str, Any] = {
        "Discarded": {"Type": "AWS::SQS::Queue"},
        "Role": _ROLE,
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"ZipFile": _CODE},
                "Environment": {"Variables": {"SEEN": str(seen)}},
            },
        },
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "EventSourceArn": source,
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 100,
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": 1,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Discarded", "Arn"]}}},
                "Enabled": False,
                **mapping,
            },
        },
    }
    if table:
        resources["Table"] = {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
            },
        }
    else:
        resources["Stream"] = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": shards}}
    return resources


class Probe:
    """A stream, a function and what it was given."""

    def __init__(self, local_aws: LocalAws, create_stack: Stack, seen: Path, **options: Any) -> None:
        self._aws = local_aws
        self._seen = seen
        self.made = create_stack(_resources(seen, **options))

    def put(self, *words: str, keys: int = 1) -> None:
        """Put records into the stream, and have them polled only when all of them are there."""
        kinesis = self._aws.client("kinesis")
        for number, word in enumerate(words):
            kinesis.put_record(
                StreamName=self.made["Stream"], Data=word.encode(), PartitionKey=f"k{number % keys}"
            )
        self.start()

    def start(self) -> None:
        """Enable the mapping."""
        self.update(Enabled=True)

    def update(self, **changes: Any) -> None:
        """Change the mapping."""
        self._aws.client("lambda").update_event_source_mapping(UUID=self.made["Mapping"], **changes)

    def batches(self, count: int, *, within: float = 20.0) -> list[list[str]]:
        """The batches so far, once there are so many and no other follows."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            if len(self._read()) >= count:
                time.sleep(1.0)
                break
            time.sleep(0.05)
        return self._read()

    def _read(self) -> list[list[str]]:
        if not self._seen.exists():
            return []
        return [json.loads(line) for line in self._seen.read_text().splitlines()]

    def discarded(self, *, within: float = 5.0) -> list[dict[str, Any]]:
        """What the on-failure destination was told."""
        answer = self._aws.client("sqs").receive_message(
            QueueUrl=self.made["Discarded"], MaxNumberOfMessages=10, WaitTimeSeconds=int(within)
        )
        return [json.loads(one["Body"]) for one in answer.get("Messages", [])]


def test_a_batch_that_fails_is_halved(local_aws: LocalAws, create_stack: Stack, tmp_path: Path) -> None:
    """Halves are tried in order until the bad record is alone, retried once, and given up."""
    probe = Probe(local_aws, create_stack, tmp_path / "seen")
    probe.put("a", "b", "raise", "d")
    assert probe.batches(6) == [
        ["a", "b", "raise", "d"],
        ["a", "b"],
        ["raise", "d"],
        ["raise"],
        ["raise"],
        ["d"],
    ]
    (told,) = probe.discarded()
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    where = told["KinesisBatchInfo"]
    assert where["batchSize"] == 1
    assert where["startSequenceNumber"] == where["endSequenceNumber"]
    assert where["shardId"].startswith("shardId-")


def test_a_process_that_dies_is_a_batch_that_failed(
    local_aws: LocalAws, create_stack: Stack, tmp_path: Path
) -> None:
    """A record that kills the process is isolated like one that raises."""
    probe = Probe(local_aws, create_stack, tmp_path / "seen")
    probe.put("a", "die", "c")
    batches = probe.batches(6)
    assert batches[-1] == ["c"]
    assert len(probe.discarded()) == 1


def test_a_batch_is_gone_on_with_at_what_was_given_back(
    local_aws: LocalAws, create_stack: Stack, tmp_path: Path
) -> None:
    """What lies before the returned sequence number is passed, and the rest comes again."""
    probe = Probe(local_aws, create_stack, tmp_path / "seen")
    probe.put("a", "b", "back", "d")
    batches = probe.batches(5)
    assert batches[:2] == [["a", "b", "back", "d"], ["back", "d"]]
    assert batches[-1] == ["d"]
    assert [one["KinesisBatchInfo"]["batchSize"] for one in probe.discarded()] == [1]


def test_without_an_end_of_retries_a_young_batch_comes_again(
    local_aws: LocalAws, create_stack: Stack, tmp_path: Path
) -> None:
    """With unlimited retries and no halving, a batch comes again as it is, until an update says otherwise."""
    probe = Probe(
        local_aws,
        create_stack,
        tmp_path / "seen",
        MaximumRecordAgeInSeconds=60,
        MaximumRetryAttempts=-1,
        BisectBatchOnFunctionError=False,
    )
    probe.put("raise", "b")
    batches = probe.batches(3)
    assert batches[:3] == [["raise", "b"]] * 3
    assert probe.discarded() == []
    probe.update(MaximumRecordAgeInSeconds=1)
    (told,) = probe.discarded(within=15.0)
    assert told["requestContext"]["condition"] == "RecordAgeExceeded"
    assert told["KinesisBatchInfo"]["batchSize"] == 2


def test_a_shard_in_parts_is_worked_on_at_once(
    local_aws: LocalAws, create_stack: Stack, tmp_path: Path
) -> None:
    """With a parallelization factor, batches of one shard run side by side, each key in one of them."""
    probe = Probe(local_aws, create_stack, tmp_path / "seen", ParallelizationFactor=4)
    began = time.monotonic()
    probe.put(*["slow"] * 8, keys=8)
    batches = probe.batches(2, within=10)
    assert sum(len(batch) for batch in batches) == 8
    assert len(batches) > 1
    assert time.monotonic() - began < 1.5 * len(batches) + 3


def test_a_tables_stream_is_gone_on_with_too(
    local_aws: LocalAws, create_stack: Stack, tmp_path: Path
) -> None:
    """What a function gives back of a DynamoDB stream's batch comes again, and is given up at last."""
    probe = Probe(local_aws, create_stack, tmp_path / "seen", table=True)
    dynamodb = local_aws.client("dynamodb")
    for number, word in enumerate(("a", "back", "c")):
        dynamodb.put_item(TableName=probe.made["Table"], Item={"id": {"S": str(number)}, "say": {"S": word}})
    probe.start()
    batches = probe.batches(4)
    assert batches[:2] == [["a", "back", "c"], ["back", "c"]]
    assert batches[-1] == ["c"]
    (told,) = probe.discarded()
    assert told["DDBStreamBatchInfo"]["batchSize"] == 1
