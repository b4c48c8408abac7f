"""Reads a range of records from a stream, in the form in which Lambda would have delivered them.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.streams.discarded import Discarded

from .refusals import code_of

__all__ = ["ReadsShards", "StreamRanges"]

_TRIMMED = frozenset({"InvalidArgumentException", "TrimmedDataAccessException"})
_THROTTLED = frozenset(
    {"LimitExceededException", "ProvisionedThroughputExceededException", "KMSThrottlingException"}
)
_TRIES = 6
_PAUSE = 0.4
"""Seconds after a page: a shard takes five reads a second, of all its readers together.
https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
"""
_EMPTY_PAGES = 100
"""A page may be empty although more is to come; so many in a row are not waited for."""


class ReadsShards(Protocol):
    """The two calls of boto3's Kinesis and DynamoDB Streams clients that are used here."""

    def get_shard_iterator(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html."""
        ...

    def get_records(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html."""
        ...


def streams_client(service: str) -> ReadsShards:
    """A client for one of the two."""
    from .clients import client

    return cast("ReadsShards", client(service, read_timeout=10, attempts=3))


class StreamRanges:
    """Reads ranges.

    :param connect: makes the client of ``kinesis`` or ``dynamodbstreams`` when it is first needed
    :param sleep: waits between two reads
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], None],
        connect: Callable[[str], ReadsShards] = streams_client,
    ) -> None:
        self._connect = connect
        self._sleep = sleep
        self._clients: dict[str, ReadsShards] = {}

    def read(self, wanted: Discarded) -> Iterator[dict[str, Any]]:
        """Those records of the range that the stream still has, in order.

        :raises TimeoutError: when the stream gives nothing although there is more to come
        :raises Exception: whatever the client raises, but for records that are no longer there
        """
        service = "kinesis" if wanted.is_of_kinesis else "dynamodbstreams"
        if service not in self._clients:
            self._clients[service] = self._connect(service)
        client = self._clients[service]
        as_delivered = _kinesis_record if wanted.is_of_kinesis else _table_record
        # Sequence numbers are numbers, of different lengths.
        first, last = int(wanted.first), int(wanted.last)
        # An iterator names its stream, but of Kinesis AWS asks for the ARN as well.
        whose = {"StreamARN": wanted.stream} if wanted.is_of_kinesis else {}
        iterator: str | None = self._iterator(client, wanted)
        empty, behind = 0, 0
        while iterator:
            if empty >= _EMPTY_PAGES:
                if behind > 0:
                    # Not that there is nothing: whoever took it for that would call the records expired.
                    raise TimeoutError(
                        f"{wanted.shard} gave {empty} empty pages in a row, {behind / 1000:g} seconds behind"
                        " its newest record; it is read again when this message comes again"
                    )
                return
            page = self._patiently(client.get_records, ShardIterator=iterator, Limit=1000, **whose)
            found = page.get("Records", ())
            for record in found:
                at = int(_sequence_of(record))
                if at > last:
                    return
                if at >= first:
                    yield as_delivered(record, wanted)
                if at == last:
                    return
            empty = 0 if found else empty + 1
            # A table's stream does not tell.
            behind = page.get("MillisBehindLatest") or 0
            iterator = page.get("NextShardIterator")
            if iterator:
                self._sleep(_PAUSE)

    def _iterator(self, client: ReadsShards, wanted: Discarded) -> str:
        name = {"StreamARN" if wanted.is_of_kinesis else "StreamArn": wanted.stream, "ShardId": wanted.shard}
        try:
            answer = self._patiently(
                client.get_shard_iterator,
                **name,
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                **{"StartingSequenceNumber" if wanted.is_of_kinesis else "SequenceNumber": wanted.first},
            )
        except Exception as error:
            if code_of(error) not in _TRIMMED:
                raise
            # The first is gone; what is left of the range begins at the oldest record that is there.
            answer = self._patiently(client.get_shard_iterator, **name, ShardIteratorType="TRIM_HORIZON")
        return str(answer["ShardIterator"])

    def _patiently(self, call: Callable[..., Mapping[str, Any]], **arguments: Any) -> Mapping[str, Any]:
        for attempt in range(_TRIES):
            try:
                return call(**arguments)
            except Exception as error:
                if code_of(error) not in _THROTTLED or attempt == _TRIES - 1:
                    raise
            self._sleep(_PAUSE * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _sequence_of(record: Mapping[str, Any]) -> str:
    return str(record.get("SequenceNumber") or record["dynamodb"]["SequenceNumber"])


def _kinesis_record(record: Mapping[str, Any], wanted: Discarded) -> dict[str, Any]:
    arrived_at = record.get("ApproximateArrivalTimestamp")
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": b64encode(record["Data"]).decode(),
            "approximateArrivalTimestamp": None if arrived_at is None else arrived_at.timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{wanted.shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "awsRegion": wanted.stream.split(":")[3],
        "eventSourceARN": wanted.stream,
    }


def _table_record(record: Mapping[str, Any], wanted: Discarded) -> dict[str, Any]:
    said = dict(record["dynamodb"])
    made_at = said.get("ApproximateCreationDateTime")
    if made_at is not None:
        said["ApproximateCreationDateTime"] = made_at.timestamp()
    return {
        "eventID": record.get("eventID"),
        "eventName": record.get("eventName"),
        "eventVersion": record.get("eventVersion"),
        "eventSource": "aws:dynamodb",
        "awsRegion": wanted.stream.split(":")[3],
        "dynamodb": _without_bytes(said),
        "eventSourceARN": wanted.stream,
    }


def _without_bytes(value: Any) -> Any:
    """Lambda delivers binary attributes as base64."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _without_bytes(one) for name, one in value.items()}
    return [_without_bytes(one) for one in value] if isinstance(value, list | tuple) else value
