"""Where event source mappings read: the shards of Kinesis streams, and tables' streams."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ministack.core.responses import get_region
from ministack.services import dynamodb, kinesis, lambda_svc

from . import recording

__all__ = ["Cursor", "Source", "sources_of"]

Cursor = int | str
"""How far it was read: a table's stream counts its records, a shard has the last sequence number."""

_Mine = Callable[[Mapping[str, Any]], bool]
_NOTHING = ""


class Source(Protocol):
    """One shard."""

    service: str
    shard: str

    def start(self, mapping: Mapping[str, Any]) -> Cursor:
        """Where a mapping begins."""
        ...

    def read(self, cursor: Cursor, most: int, mine: _Mine) -> tuple[list[dict[str, Any]], Cursor]:
        """The next records that are ``mine``, as Lambda delivers them, and how far that was."""
        ...

    def key_of(self, record: Mapping[str, Any]) -> str:
        """The partition key of a delivered record."""
        ...

    def sequence_of(self, record: Mapping[str, Any]) -> str:
        """Its sequence number."""
        ...

    def arrived_at(self, record: Mapping[str, Any]) -> float:
        """Seconds since 1970."""
        ...

    def record_read(self, role: str) -> None:
        """Write down what Lambda's poller asks for with the function's role."""
        ...


def sources_of(mapping: Mapping[str, Any]) -> Iterator[Source]:
    """The shards that a mapping reads; none while its stream or table is not there."""
    arn = str(mapping["EventSourceArn"])
    if ":dynamodb:" in arn:
        table = arn.partition(":table/")[2].partition("/")[0]
        found = dynamodb._tables.get(table)
        if found and found.get("LatestStreamArn") == arn:
            yield _TableStream(table, arn)
        return
    name = arn.partition(":stream/")[2].partition("/")[0]
    stream = kinesis._streams.get(name)
    if stream and stream["StreamStatus"] == "ACTIVE":
        for shard in stream["shards"]:
            yield _Shard(name, shard, arn.partition("/consumer/")[0])


class _Shard:
    service = "kinesis"

    def __init__(self, stream: str, shard: str, arn: str) -> None:
        self._stream = stream
        self._arn = arn
        self.shard = shard

    def _records(self) -> list[dict[str, Any]]:
        stream = kinesis._streams.get(self._stream) or {"shards": {}}
        found: list[dict[str, Any]] = stream["shards"].get(self.shard, {}).get("records", [])
        return found

    def start(self, mapping: Mapping[str, Any]) -> Cursor:
        """From the oldest, from a moment, or behind what is there now."""
        position = mapping.get("StartingPosition", "LATEST")
        if position == "TRIM_HORIZON":
            return _NOTHING
        moment = float(mapping.get("StartingPositionTimestamp") or 0)
        before = [
            one["SequenceNumber"]
            for one in self._records()
            if position == "LATEST" or one["ApproximateArrivalTimestamp"] < moment
        ]
        return before[-1] if before else _NOTHING

    def read(self, cursor: Cursor, most: int, mine: _Mine) -> tuple[list[dict[str, Any]], Cursor]:
        """By sequence number: positions change when records expire."""
        found: list[dict[str, Any]] = []
        after = int(cursor or 0)
        for one in list(self._records()):
            if int(one["SequenceNumber"]) <= after:
                continue
            if len(found) == most:
                break
            cursor = one["SequenceNumber"]
            record = self._delivered(one)
            if mine(record):
                found.append(record)
        return found, cursor

    def _delivered(self, one: Mapping[str, Any]) -> dict[str, Any]:
        data = one["Data"]
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": one["PartitionKey"],
                "sequenceNumber": one["SequenceNumber"],
                "data": b64encode(data).decode() if isinstance(data, bytes) else data,
                "approximateArrivalTimestamp": one["ApproximateArrivalTimestamp"],
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard}:{one['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "awsRegion": get_region(),
            "eventSourceARN": self._arn,
        }

    def key_of(self, record: Mapping[str, Any]) -> str:
        """See ``Source``."""
        return str(record["kinesis"]["partitionKey"])

    def sequence_of(self, record: Mapping[str, Any]) -> str:
        """See ``Source``."""
        return str(record["kinesis"]["sequenceNumber"])

    def arrived_at(self, record: Mapping[str, Any]) -> float:
        """See ``Source``."""
        return float(record["kinesis"]["approximateArrivalTimestamp"])

    def record_read(self, role: str) -> None:
        """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html."""
        for name in (
            "DescribeStream",
            "DescribeStreamSummary",
            "GetRecords",
            "GetShardIterator",
            "ListShards",
        ):
            recording.record_use(role, f"kinesis:{name}", self._arn)


class _TableStream:
    service = "dynamodb"
    shard = "shardId-00000000000000000000-00000000"

    def __init__(self, table: str, arn: str) -> None:
        self._table = table
        self._arn = arn

    def start(self, mapping: Mapping[str, Any]) -> Cursor:
        """Where the mapping was anchored when it was made."""
        with lambda_svc._dynamodb_stream_positions_lock:
            known = lambda_svc._dynamodb_stream_positions.get(mapping["UUID"])
        if known is not None:
            return int(known)
        if mapping.get("StartingPosition", "LATEST") == "TRIM_HORIZON":
            return int(dynamodb.stream_start_position(self._table))
        return int(dynamodb.stream_end_position(self._table))

    def read(self, cursor: Cursor, most: int, mine: _Mine) -> tuple[list[dict[str, Any]], Cursor]:
        """By position: a table's stream keeps count of what it dropped."""
        at = max(int(cursor), int(dynamodb.stream_start_position(self._table)))
        found = dynamodb.stream_records_since(self._table, at, most)
        return [record for record in found if mine(record)], at + len(found)

    def key_of(self, record: Mapping[str, Any]) -> str:
        """See ``Source``."""
        return json.dumps(record["dynamodb"]["Keys"], sort_keys=True)

    def sequence_of(self, record: Mapping[str, Any]) -> str:
        """See ``Source``."""
        return str(record["dynamodb"]["SequenceNumber"])

    def arrived_at(self, record: Mapping[str, Any]) -> float:
        """See ``Source``."""
        return float(record["dynamodb"]["ApproximateCreationDateTime"])

    def record_read(self, role: str) -> None:
        """https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-create-package.html."""
        for name in ("DescribeStream", "GetShardIterator", "GetRecords"):
            recording.record_use(role, f"dynamodb:{name}", self._arn)
        recording.record_use(role, "dynamodb:ListStreams", "*")
