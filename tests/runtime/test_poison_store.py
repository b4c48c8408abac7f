"""Where poison is kept: in the queue, or in the bucket with a pointer in the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from resilient_runtime.stores.poison import PoisonQueue

ENTRY = {
    "version": 1,
    "kind": "POISON",
    "stream": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders",
    "shard": "shardId-000000000003",
    "sequence_number": "7",
}
SQS_ANSWERS = "AWS.SimpleQueueService.InvalidParameterValue"


class Account:
    """A queue with a MaximumMessageSize of its own, and a bucket."""

    def __init__(self, maximum: int, code: str = SQS_ANSWERS) -> None:
        self.maximum = maximum
        self.code = code
        self.messages: list[Mapping[str, Any]] = []
        self.objects: dict[str, Mapping[str, Any]] = {}
        self.store = PoisonQueue(
            "https://queue", "bucket", "orders/", connect_queue=lambda: self, connect_bucket=lambda: self
        )

    def send_message(self, **arguments: Any) -> Mapping[str, Any]:
        """Take it, or refuse it for its size."""
        if len(arguments["MessageBody"]) > self.maximum:
            raise ClientError({"Error": {"Code": self.code}}, "SendMessage")
        self.messages.append(json.loads(arguments["MessageBody"]))
        return {"MessageId": "m-1"}

    def put_object(self, **arguments: Any) -> Mapping[str, Any]:
        """Take it."""
        self.objects[arguments["Key"]] = json.loads(arguments["Body"])
        return {}


def entry(size: int) -> dict[str, Any]:
    """An entry whose message has so many bytes."""
    empty = len(json.dumps({**ENTRY, "record": ""}, separators=(",", ":")))
    return {**ENTRY, "record": "x" * (size - empty)}


@pytest.mark.parametrize(
    ("size", "maximum"),
    [(262_144, 1_048_576), (900_000, 262_144), (262_143, 65_536), (2_000, 1_024)],
)
def test_what_a_queue_may_not_take_is_an_object_and_a_pointer(size: int, maximum: int) -> None:
    """From 256 KiB on, and below where the queue allows less, the entry is kept whole in the bucket."""
    account = Account(maximum)
    account.store.store(entry(size))
    key = "orders/poison/shardId-000000000003/7.json"
    assert account.objects == {key: entry(size)}
    (pointer,) = account.messages
    assert pointer["stored_in"] == {"bucket": "bucket", "key": key}


def test_an_entry_that_its_queue_takes_is_one_message() -> None:
    """What fits goes into the queue whole, and nothing into the bucket."""
    account = Account(262_144)
    account.store.store(entry(262_143))
    assert account.messages == [entry(262_143)]
    assert account.objects == {}


def test_a_refusal_that_has_nothing_to_do_with_the_size_is_raised() -> None:
    """A missing permission or a deleted queue is no reason to write objects that nothing points at."""
    account = Account(10, code="AccessDenied")
    with pytest.raises(ClientError):
        account.store.store(entry(1_000))
    assert account.objects == {}
