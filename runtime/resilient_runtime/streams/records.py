"""One record of a Kinesis or DynamoDB stream, read into what the handler gets.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#services-kinesis-event-example
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html#events-sample-dynamodb
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from resilient_runtime import correlation

from .images import plain_image

__all__ = [
    "REPLAYED",
    "StreamRecord",
    "Words",
    "key_of_list",
    "read_record",
    "records_of",
    "stream_of",
    "words_of",
]


REPLAYED = "resilient_replay"
"""A batch with this member, and true, is not from the stream: its keys are not parked, nor held."""


class StreamRecord(NamedTuple):
    """Where a record stands, and whom it belongs to.

    :param sequence: its sequence number, unique within its shard
    :param key: of its partition; in a DynamoDB stream, the item's key as JSON
    :param shard: the shard's id; a DynamoDB stream's records do not say, so it is the stream's ARN
    :param stream: the stream's ARN
    :param arrived_at: seconds since 1970 at which the stream took it, about; None when it does not say
    :param raw: as Lambda delivered it
    """

    sequence: str
    key: str
    shard: str
    stream: str
    arrived_at: float | None
    raw: Mapping[str, Any]


class Words(NamedTuple):
    """What a record says.

    :param data: what the handler gets: of a Kinesis record its data (of an EventBridge event the detail) as
        JSON, else as text, else as bytes; of a DynamoDB stream's record a mapping with ``event`` (INSERT,
        MODIFY, REMOVE), ``keys``, ``new`` and ``old``
    :param correlation_id: the story it belongs to
    :param idempotency_key: the same whenever it comes again
    :param event: the EventBridge event around the data, else None
    """

    data: Any
    correlation_id: str
    idempotency_key: str
    event: Mapping[str, Any] | None


def records_of(event: Any) -> list[StreamRecord]:
    """The records of a stream's batch.

    :raises ValueError: when it is none, or has a record that could not be named
    """
    found = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(found, list):
        raise ValueError(  # noqa: TRY004  the event's content is wrong, not a Python type of the caller's
            "RESILIENT_MODE is 'records', but this event has no list of Records: invoke the function from a "
            "Kinesis or DynamoDB stream, or set the mode to 'event'"
        )
    return [read_record(record) for record in found]


def stream_of(arn: str) -> str:
    """The stream's ARN, also where what is named is a registered consumer of it.

    With enhanced fan-out a mapping names the consumer, and neither records nor iterators can be had of one.
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisdatastreams.html
    """
    # From its end: a stream may itself be called "consumer".
    return arn.rpartition("/consumer/")[0] or arn


def read_record(record: Any) -> StreamRecord:
    """Where one record stands.

    :raises ValueError: when it is of no stream
    """
    source = record.get("eventSource") if isinstance(record, Mapping) else None
    read = _READERS.get(str(source))
    if read is not None:
        try:
            return read(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Not the record itself: this goes to a log, and nobody has looked for secrets in it.
            raise ValueError(f"a record of {source} has no {error}, so it cannot be named") from None
    has = ", ".join(map(str, record)) if isinstance(record, Mapping) else type(record).__name__
    raise ValueError(
        f"RESILIENT_MODE is 'records', but this is no record of a Kinesis or DynamoDB stream, but {has:.200}"
    )


def words_of(record: StreamRecord) -> Words:
    """What a record says; its data in whatever form it can be read."""
    own = f"{record.shard}:{record.sequence}"
    if record.raw["eventSource"] != KINESIS:
        return Words(plain_image(record.raw), own, own, None)
    data = _decoded(a2b_base64(record.raw["kinesis"].get("data") or ""))
    envelope = correlation.envelope_of(data)
    if envelope is None:
        return Words(data, own, own, None)
    story, accepted = correlation.from_envelope(envelope), correlation.accepted_detail(envelope)
    event_id = envelope.get("id")
    key = None if accepted is None else correlation.accepted_key(accepted)
    return Words(
        data=envelope["detail"] if accepted is None else accepted["data"],
        correlation_id=correlation.first_valid(story, event_id) or own,
        idempotency_key=correlation.first_valid(key, event_id) or own,
        event=envelope,
    )


def key_of_list(records: Sequence[StreamRecord]) -> str:
    """What names these records, all of them: the same list has the same name, and any other has another.

    Its first record does not name it. A list that failed is halved, and one that comes again may be longer:
    what was done of the one would count for the other.
    """
    # Late on purpose: few handlers take lists.
    from hashlib import sha256

    first = records[0]
    extent = ",".join(f"{record.shard}:{record.sequence}" for record in records)
    return f"{first.shard}:{first.sequence}:{sha256(extent.encode()).hexdigest()[:32]}"


KINESIS = "aws:kinesis"
DYNAMODB = "aws:dynamodb"


def _kinesis(record: Mapping[str, Any]) -> StreamRecord:
    said = record["kinesis"]
    arrived_at = said.get("approximateArrivalTimestamp")
    return StreamRecord(
        sequence=str(said["sequenceNumber"]),
        key=str(said["partitionKey"]),
        # shardId-000000000006:49590338271490256608559692538361571095921575989136588898
        shard=str(record["eventID"]).partition(":")[0],
        stream=stream_of(str(record["eventSourceARN"])),
        arrived_at=None if arrived_at is None else float(arrived_at),
        raw=record,
    )


def _dynamodb(record: Mapping[str, Any]) -> StreamRecord:
    said = record["dynamodb"]
    made_at = said.get("ApproximateCreationDateTime")
    stream = str(record["eventSourceARN"])
    return StreamRecord(
        sequence=str(said["SequenceNumber"]),
        key=json.dumps(said["Keys"], sort_keys=True, separators=(",", ":")),
        shard=stream,
        stream=stream,
        arrived_at=None if made_at is None else float(made_at),
        raw=record,
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], StreamRecord]] = {KINESIS: _kinesis, DYNAMODB: _dynamodb}


def _decoded(data: bytes) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
