"""Stream batches as Lambda delivers them, and the environment that handles them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from lambda_events import App, Ticking
from resilient_runtime.lifecycle import NoGuard
from resilient_runtime.streams.batch import ParkedKeys
from resilient_runtime.streams.records import StreamRecord

STREAM = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders"
TABLE_STREAM = "arn:aws:dynamodb:eu-west-1:111122223333:table/Orders/stream/2026-11-01T00:00:00.000"
SHARD = "shardId-000000000003"
COURIER = '[{"name":"Courier"}]'


def kinesis_record(data: object, *, sequence: int = 1, key: str = "k") -> dict[str, Any]:
    """One record of a shard; data that is not bytes is sent as JSON."""
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": f"{sequence:056d}",
            "data": b64encode(payload).decode(),
            "approximateArrivalTimestamp": 1_800_000_000.5,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{SHARD}:{sequence:056d}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "eu-west-1",
        "eventSourceARN": STREAM,
    }


def table_record(event: str, *, sequence: int = 1, **images: Mapping[str, Any]) -> dict[str, Any]:
    """One record of a table's stream."""
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_800_000_000,
            "Keys": {"id": {"S": "7"}},
            "SequenceNumber": f"{sequence:021d}",
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **images,
        },
        "eventSourceARN": TABLE_STREAM,
    }


def orders(*numbers: int, keys: int = 100) -> dict[str, Any]:
    """A batch with one record for each order."""
    return {
        "Records": [kinesis_record({"order": one}, sequence=one, key=f"k{one % keys}") for one in numbers]
    }


class Timed(NoGuard):
    """An invocation that ends some seconds after it began."""

    def __init__(self, clock: Ticking, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends = seconds

    def arm(self, remaining: object) -> None:
        """It begins."""
        self._ends = self._clock.now + self._seconds

    def left(self) -> float:
        """Seconds until it ends."""
        return self._ends - self._clock.now


class KeptKeys:
    """Parked keys in memory; ``broken`` makes it refuse."""

    table_name = "parked"

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.broken = False
        self.waiting: list[str] = []
        self.parked_by: dict[str, str] = {}

    def read(self) -> set[str]:
        """What is parked."""
        return set(self.keys)

    def holds_back(self, record: StreamRecord) -> bool:
        """Whether it comes after the one that parked its key; all do where nobody knows that one."""
        return record.sequence > self.parked_by.get(record.key, "")

    def add(self, key: str, record: StreamRecord) -> None:
        """Park it, or refuse."""
        if self.broken:
            raise ConnectionError("no route to DynamoDB")
        self.keys.add(key)
        self.parked_by[key] = record.sequence

    def wait(self, key: str, record: StreamRecord) -> None:
        """Note who waits, or refuse."""
        if self.broken or key not in self.keys:
            raise ConnectionError("no route to DynamoDB")
        self.waiting.append(record.sequence)


def stream_app(
    function: Callable[..., Any],
    *,
    seconds: float = 30.0,
    per_batch: bool = False,
    parked_keys: ParkedKeys | None = None,
    downstreams: str = COURIER,
    **more: Any,
) -> App:
    """An environment in mode records."""
    clock = Ticking()
    stream: dict[str, object] = {"poison_queue_url": "https://queue", "poison_bucket": "bucket"}
    if per_batch:
        stream["per_batch"] = True
    return App(
        function,
        "records",
        clocked=clock,
        guard=Timed(clock, seconds),
        parked_keys=parked_keys,
        RESILIENT_STREAM=json.dumps(stream),
        RESILIENT_DOWNSTREAMS=downstreams,
        **more,
    )
