"""The table of parked keys: changes that are in each other's way, keys of every length, who parked a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys
from resilient_runtime.streams.records import StreamRecord, read_record
from stream_events import SHARD, kinesis_record


def cancelled(*codes: str) -> ClientError:
    """What DynamoDB answers to a transaction that it cancelled."""
    reasons = [{"Code": code} for code in codes]
    said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    return ClientError(said, "TransactWriteItems")


CONFLICT = cancelled("None", "TransactionConflict")
UPDATE_CONFLICT = ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")


class Table:
    """The client of a table that fails as often as it is told, before it does anything."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.error: ClientError = CONFLICT
        self.failures = 0
        self.calls = 0
        self.slept: list[float] = []
        self.left = 60.0
        self.keys = self.environment()

    def environment(self) -> DynamoDBParkedKeys:
        """Another one that shares the table; its chance is always half."""
        return DynamoDBParkedKeys(
            "Parked",
            connect=lambda: self,
            sleep=self.slept.append,
            chance=lambda: 0.5,
            left=lambda: self.left - sum(self.slept),
        )

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        """See boto3."""
        found: Mapping[str, Any] = self.client.get_item(**arguments)
        return found

    def scan(self, **arguments: Any) -> Mapping[str, Any]:
        """See boto3."""
        found: Mapping[str, Any] = self.client.scan(**arguments)
        return found

    def update_item(self, **arguments: Any) -> Mapping[str, Any]:
        """See boto3."""
        return self._written(self.client.update_item, arguments)

    def transact_write_items(self, **arguments: Any) -> Mapping[str, Any]:
        """See boto3."""
        return self._written(self.client.transact_write_items, arguments)

    def _written(
        self, call: Callable[..., Mapping[str, Any]], arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise self.error
        return call(**arguments)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """An empty table."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName="Parked",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Table(client)


def record(sequence: int, key: str = "k") -> StreamRecord:
    """One record of the shard."""
    return read_record(kinesis_record({}, sequence=sequence, key=key))


def changes(keys: DynamoDBParkedKeys) -> list[tuple[str, Callable[[], None]]]:
    """Everything that writes, in an order in which all of it works."""
    return [
        ("add", lambda: keys.add("k", record(1))),
        ("wait", lambda: keys.wait("k", record(2))),
        ("remove", lambda: keys.remove("k", replayed_to=record(2).sequence)),
    ]


def test_a_change_that_meets_another_one_is_tried_again(table: Table) -> None:
    """Two shards that find poison in the same moment both park their key, and freeing one works as well."""
    for name, change in changes(table.keys):
        table.calls, table.failures = 0, 3
        table.error = UPDATE_CONFLICT if name == "wait" else CONFLICT
        table.slept.clear()
        change()
        assert table.calls == 4, name
        assert table.slept == [0.025, 0.05, 0.1], name
    assert table.keys.read() == set()


def test_conflicts_that_do_not_end_are_raised(table: Table) -> None:
    """After five tries the conflict is the caller's, who waits longer."""
    for name, change in changes(table.keys):
        table.calls, table.failures = 0, 5
        with pytest.raises(ClientError):
            change()
        assert table.calls == 5, name
        change()


def test_no_pause_is_longer_than_the_time_that_is_left(table: Table) -> None:
    """An invocation that is about to end is not spent on waiting for others."""
    table.left, table.failures = 0.07, 4
    with pytest.raises(ClientError):
        table.keys.add("k", record(1))
    assert table.slept == [0.025]
    assert table.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        cancelled("ConditionalCheckFailed", "None"),
        cancelled("ConditionalCheckFailed", "TransactionConflict"),
        cancelled("None", "ValidationError"),
        ClientError({"Error": {"Code": "TransactionCanceledException"}}, "TransactWriteItems"),
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems"),
    ],
    ids=["condition", "condition and conflict", "fault", "no reasons", "access"],
)
def test_what_will_not_pass_is_not_tried_again(table: Table, error: ClientError) -> None:
    """A condition that failed, a fault of ours or a missing permission is raised at once."""
    table.error, table.failures = error, 1
    with pytest.raises(ClientError):
        table.keys.remove("k", replayed_to=None)
    assert table.calls == 1


@pytest.mark.parametrize("key", ["x" * 1_024, "x" * 1_025, "ü" * 513, "x" * 30_000])
def test_keys_of_every_length_are_parked_and_freed(table: Table, key: str) -> None:
    """A key that is too long for a name is known by its digest, and read back whole by every environment."""
    table.keys.add(key, record(1, key))
    other = table.environment()
    assert other.read() == {key}
    other.wait(key, record(2, key))
    names = [item["name"]["S"] for item in table.client.scan(TableName="Parked")["Items"]]
    assert max(len(name.encode()) for name in names) <= 1_028
    assert any(name.startswith("key:sha256:") for name in names) == (len(key.encode()) > 1_024)
    with pytest.raises(ClientError):
        other.remove(key, replayed_to=record(1).sequence)
    other.remove(key, replayed_to=record(2).sequence)
    assert table.keys.read() == set()


def test_a_key_that_is_parked_again_keeps_those_behind_it(table: Table) -> None:
    """A record that comes again and parks its key once more does not hide that others wait for it."""
    table.keys.add("k", record(1))
    table.keys.wait("k", record(5))
    table.keys.add("k", record(1))
    with pytest.raises(ClientError):
        table.keys.remove("k", replayed_to=record(1).sequence)
    assert table.keys.read() == {"k"}


def test_a_key_that_was_parked_since_is_not_freed_by_what_came_before(table: Table) -> None:
    """Replaying a record that Lambda gave up does not free its key from poison that it met later."""
    table.keys.add("k", record(9))
    with pytest.raises(ClientError):
        table.keys.remove("k", replayed_to=record(8).sequence)
    assert table.keys.read() == {"k"}
    table.keys.remove("k", replayed_to=record(9).sequence)
    assert table.keys.read() == set()


def test_the_record_that_parked_its_key_is_not_held_back_by_it(table: Table) -> None:
    """That one and those before it are tried again; later ones, and those of another shard, wait."""
    table.keys.add("k", record(9))
    other = table.environment()
    other.read()
    assert [other.holds_back(record(one)) for one in (8, 9, 10, 100)] == [False, False, True, True]
    assert other.holds_back(record(8)._replace(shard=f"{SHARD}1"))
    assert not other.holds_back(record(10, "another"))


@given(st.integers(0, 10**55), st.integers(0, 10**55))
def test_sequence_numbers_are_compared_as_numbers(one: int, other: int) -> None:
    """Whatever their lengths, a record is held back exactly where its number is the larger one."""

    class Read:
        def get_item(self, **arguments: Any) -> Mapping[str, Any]:
            return {"Item": {"version": {"N": "1"}}}

        def scan(self, **arguments: Any) -> Mapping[str, Any]:
            return {"Items": [{"name": {"S": "key:k"}, "record": {"S": f"arn:shard:{one}"}}]}

    keys = DynamoDBParkedKeys("Parked", connect=lambda: Read())  # type: ignore[arg-type, return-value]
    keys.read()
    assert keys.holds_back(record(1)._replace(shard="arn:shard", sequence=str(other))) == (other > one)
