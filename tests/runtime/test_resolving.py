from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lambda_events import DEAD_LETTERS, App, KeptPoison, batch_of, sqs_record
from resilient_runtime import Call, Reject, resolving
from resilient_runtime.resolving import Resolver
from resilient_runtime.stores.stream_ranges import StreamRanges
from resilient_runtime.streams.discarded import read_discarded
from resilient_runtime.streams.records import read_record
from stream_events import SHARD, STREAM, TABLE_STREAM, kinesis_record

ARRIVED = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def told(
    first: int, last: int, *, count: int | None = None, condition: str = "RetryAttemptsExhausted"
) -> Any:
    """What an on-failure destination gets of a Kinesis stream."""
    return {
        "requestContext": {
            "requestId": "c9b8fa9f",
            "functionArn": "arn:aws:lambda:eu-west-1:111122223333:function:Delivery",
            "condition": condition,
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:10.000Z",
        "KinesisBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": str(first),
            "endSequenceNumber": str(last),
            "approximateArrivalOfFirstRecord": "2027-01-15T08:00:00Z",
            "approximateArrivalOfLastRecord": "2027-01-15T08:00:01Z",
            "batchSize": last - first + 1 if count is None else count,
            "streamArn": STREAM,
        },
    }


class Shard:
    """A shard in memory; pages of two records, the first of them empty."""

    def __init__(self, oldest: int, newest: int) -> None:
        self.records = [
            {
                "SequenceNumber": str(one),
                "PartitionKey": f"k{one}",
                "Data": b"{}",
                "ApproximateArrivalTimestamp": ARRIVED,
            }
            for one in range(oldest, newest + 1)
        ]
        self.throttles = 0
        self.services: list[str] = []

    def connect(self, service: str) -> Shard:
        """The client of a service."""
        self.services.append(service)
        return self

    def get_shard_iterator(self, **arguments: Any) -> Mapping[str, Any]:
        """An iterator is the position of the next record, with how often it was used."""
        if arguments["ShardIteratorType"] == "TRIM_HORIZON":
            return {"ShardIterator": "0:0"}
        wanted = int(arguments["StartingSequenceNumber"])
        for position, record in enumerate(self.records):
            if int(record["SequenceNumber"]) == wanted:
                return {"ShardIterator": f"{position}:0"}
        raise ClientError({"Error": {"Code": "InvalidArgumentException"}}, "GetShardIterator")

    def get_records(self, **arguments: Any) -> Mapping[str, Any]:
        """Two records; none at first; throttled as often as told."""
        if self.throttles:
            self.throttles -= 1
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetRecords")
        position, _, used = arguments["ShardIterator"].partition(":")
        if used == "0":
            return {"Records": [], "NextShardIterator": f"{position}:1"}
        start = int(position)
        found = self.records[start : start + 2]
        return {"Records": found, "NextShardIterator": f"{start + len(found)}:1"}


class World:
    """A resolver over a shard."""

    def __init__(self, shard: Shard, parked_table: str | None = None) -> None:
        self.poison = KeptPoison()
        self.said: list[tuple[str, Mapping[str, Any]]] = []
        self.slept: list[float] = []
        self.resolver = Resolver(
            ranges=StreamRanges(sleep=self.slept.append, connect=shard.connect),
            poison=self.poison,
            function_name="Resolver",
            emit=lambda status, members, counts: self.said.append((status, members)),
            parked_table=parked_table,
        )

    def kept(self) -> list[tuple[str, str]]:
        """Kind and sequence number of each entry."""
        return [(entry["kind"], entry["sequence_number"]) for entry in self.poison.entries]


def test_the_records_of_a_range_are_kept_whole() -> None:
    """Every record between the two positions is fetched from the stream and kept as Lambda delivers it."""
    world = World(Shard(1, 9))
    world.resolver.resolve(told(3, 5), Call())
    assert world.kept() == [("GIVEN_UP", "3"), ("GIVEN_UP", "4"), ("GIVEN_UP", "5")]
    entry = world.poison.entries[0]
    assert entry["record"]["kinesis"]["partitionKey"] == "k3"
    assert entry["record"]["eventID"] == f"{SHARD}:3"
    assert entry["strikes"] == 2
    assert entry["error"] == "RetryAttemptsExhausted"
    assert [status for status, _ in world.said] == ["RESOLVED"]


def test_records_that_got_too_old_are_told_from_those_that_were_given_up() -> None:
    """The condition that Lambda tells decides how an entry is called."""
    world = World(Shard(1, 9))
    world.resolver.resolve(told(3, 3, condition="RecordAgeExceeded"), Call())
    assert world.kept() == [("AGED", "3")]


def test_what_the_stream_has_dropped_is_told_and_kept_as_a_position() -> None:
    """Records that expired before they were fetched are not passed over in silence."""
    world = World(Shard(5, 9))
    world.resolver.resolve(told(3, 6), Call())
    assert world.kept() == [("GIVEN_UP", "5"), ("GIVEN_UP", "6"), ("EXPIRED", "3")]
    assert world.poison.entries[-1]["records"] == 2
    assert [status for status, _ in world.said] == ["EXPIRED", "RESOLVED"]


def test_why_lambda_gave_a_record_up_is_told_with_all_that_it_said() -> None:
    """The reason has the number of attempts and how the last one ended, and calls nothing certain."""
    world = World(Shard(1, 9))
    world.resolver.resolve(told(3, 3), Call())
    reason = world.poison.entries[0]["reason"]
    assert "about 2 attempts; function error: Unhandled" in reason
    causes = ("died or did not end in time", "or the function raised", "or gave it back")
    assert sorted(causes, key=reason.index) == list(causes)


def test_what_lambda_does_not_say_is_not_in_the_reason() -> None:
    """An answer without an error, or a message without an answer, is told without one."""
    world = World(Shard(1, 9))
    returned_well, silent = told(3, 3), told(3, 3)
    del returned_well["responseContext"]["functionError"]
    del silent["responseContext"]
    del silent["requestContext"]["approximateInvokeCount"]
    world.resolver.resolve(returned_well, Call())
    world.resolver.resolve(silent, Call())
    first, second = (entry["reason"] for entry in world.poison.entries)
    assert "gave it up (about 2 attempts): the process" in first
    assert "gave it up: the process" in second


def test_records_of_a_consumer_that_parks_name_the_table_of_its_keys() -> None:
    """A record may be given up after its key was parked, and its replay has to free that."""
    world = World(Shard(4, 9), parked_table="Parked")
    world.resolver.resolve(told(3, 4), Call())
    tables = {entry["kind"]: entry.get("parked_table") for entry in world.poison.entries}
    assert tables == {"GIVEN_UP": "Parked", "EXPIRED": None}
    plain = World(Shard(1, 9))
    plain.resolver.resolve(told(3, 3), Call())
    assert "parked_table" not in plain.poison.entries[0]


def test_the_table_of_keys_is_the_one_of_the_functions_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployed resolver reads from RESILIENT_STREAM, as the consumer does, whether keys are parked."""
    shard, poison = Shard(1, 9), KeptPoison()
    ranges = StreamRanges(sleep=lambda seconds: None, connect=shard.connect)
    monkeypatch.setattr("resilient_runtime.stores.stream_ranges.StreamRanges", lambda **given: ranges)
    monkeypatch.setattr("resilient_runtime.stores.poison.PoisonQueue", lambda *given: poison)
    stream = '{"poison_queue_url":"https://queue","poison_bucket":"bucket","parked_table":"Parked"}'
    env = {"RESILIENT_HANDLER": "a.b", "RESILIENT_MODE": "messages", "RESILIENT_STREAM": stream}
    resolving._equipped(env).resolve(told(3, 3), Call())
    assert poison.entries[0]["parked_table"] == "Parked"


def test_a_range_that_is_gone_altogether_is_one_position() -> None:
    """When nothing of a range is left, its positions alone are kept."""
    world = World(Shard(8, 9))
    world.resolver.resolve(told(3, 6), Call())
    assert world.kept() == [("EXPIRED", "3")]
    assert world.poison.entries[0]["records"] == 4


def test_a_batch_that_is_told_larger_than_its_range_loses_nothing() -> None:
    """Lambda tells halves as one batch, so its count alone does not mean that records are missing."""
    world = World(Shard(1, 9))
    world.resolver.resolve(told(3, 4, count=7), Call())
    assert world.kept() == [("GIVEN_UP", "3"), ("GIVEN_UP", "4")]


def test_throttled_reads_are_waited_out() -> None:
    """A shard that is read too often is asked again, later each time."""
    shard = Shard(1, 9)
    shard.throttles = 3
    world = World(shard)
    world.resolver.resolve(told(3, 3), Call())
    assert world.kept() == [("GIVEN_UP", "3")]
    assert world.slept[:3] == [0.4, 0.8, 1.6]


def test_a_poison_store_that_refuses_brings_the_message_back() -> None:
    """Nothing is done with a range of which one record is not known to be kept."""
    world = World(Shard(1, 9))
    world.poison.broken = lambda entry: entry["sequence_number"] == "4"
    with pytest.raises(ConnectionError):
        world.resolver.resolve(told(3, 5), Call())


def test_a_message_from_somebody_else_is_rejected() -> None:
    """What is not from Lambda goes to the dead-letter queue with a reason."""
    with pytest.raises(Reject, match="on-failure destination"):
        World(Shard(1, 2)).resolver.resolve({"hello": "world"}, Call())


def test_the_resolvers_function_takes_messages_although_it_knows_the_stream() -> None:
    """The mode decides what a function takes; that it knows where poison is kept changes nothing."""
    seen: list[object] = []
    app = App(
        lambda body, call: seen.append(body),
        RESILIENT_STREAM='{"poison_queue_url":"https://queue","poison_bucket":"bucket"}',
        RESILIENT_DEAD_LETTER_QUEUE_URL=DEAD_LETTERS,
    )
    app(batch_of(sqs_record({"a": 1})))
    assert seen == [{"a": 1}]


def test_a_tables_stream_is_read_through_its_own_service() -> None:
    """A DynamoDB stream's range is read from DynamoDB Streams, binary values as Lambda writes them."""
    shard = Shard(1, 1)
    shard.records = [
        {
            "eventID": "1",
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "dynamodb": {
                "ApproximateCreationDateTime": ARRIVED,
                "Keys": {"id": {"B": b"x"}},
                "SequenceNumber": "3",
            },
        }
    ]
    body = told(3, 3)
    where = body.pop("KinesisBatchInfo")
    body["DDBStreamBatchInfo"] = where | {"streamArn": TABLE_STREAM}

    def iterator(**arguments: Any) -> Mapping[str, Any]:
        assert arguments["StreamArn"] == TABLE_STREAM
        assert arguments["SequenceNumber"] == "3"
        return {"ShardIterator": "0:1"}

    shard.get_shard_iterator = iterator  # type: ignore[method-assign]
    world = World(shard)
    world.resolver.resolve(body, Call())
    assert shard.services == ["dynamodbstreams"]
    assert world.poison.entries[0]["record"]["dynamodb"]["Keys"] == {"id": {"B": "eA=="}}
    assert world.poison.entries[0]["partition_key"] == '{"id":{"B":"eA=="}}'


def test_a_stream_is_known_by_its_own_name_where_a_registered_consumer_read_it() -> None:
    """With enhanced fan-out the mapping's ARN is the consumer's; records are read and put by the stream's."""
    body = told(1, 2)
    body["KinesisBatchInfo"]["streamArn"] = f"{STREAM}/consumer/orders-fan-out:1700000000"
    assert read_discarded(body).stream == STREAM
    record = kinesis_record({})
    record["eventSourceARN"] = f"{STREAM}/consumer/orders-fan-out:1700000000"
    assert read_record(record).stream == STREAM


def test_records_that_no_page_has_yet_are_not_called_expired() -> None:
    """Empty pages of a reader that is behind say nothing: the message comes again, nothing is passed."""

    class Empty(Shard):
        def get_records(self, **arguments: Any) -> Mapping[str, Any]:
            return {"Records": [], "NextShardIterator": "0:1", "MillisBehindLatest": 60_000}

    world = World(Empty(1, 9))
    with pytest.raises(TimeoutError, match="60 seconds"):
        world.resolver.resolve(told(3, 5), Call())
    assert world.poison.entries == []
