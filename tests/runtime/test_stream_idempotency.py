"""A stream's records that are done once: what the table of remembered work means to a shard."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import App, returned
from remembering_table import on_moto
from resilient_runtime import Call
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.streams.records import REPLAYED, key_of_list, records_of
from stream_events import orders, stream_app

TABLE = "RememberedRecords"
_numbers = itertools.count(1000, 1000)


class Table:
    """The table on moto; ``before`` is called before each note that a record is begun."""

    def __init__(self) -> None:
        self._client = boto3.client("dynamodb")
        self.meta = self._client.meta
        self.before: Callable[[], None] = lambda: None
        self.puts = 0

    def put_item(self, **arguments: Any) -> Any:
        """A record is begun."""
        self.puts += 1
        self.before()
        return self._client.put_item(**arguments)

    def update_item(self, **arguments: Any) -> Any:
        """It is done."""
        return self._client.update_item(**arguments)

    def delete_item(self, **arguments: Any) -> Any:
        """It failed."""
        return self._client.delete_item(**arguments)

    def free(self) -> None:
        """The time of all who died is over."""
        for item in self._client.scan(TableName=TABLE)["Items"]:
            if item["status"]["S"] == "INPROGRESS":
                self._client.delete_item(TableName=TABLE, Key={"id": item["id"]})


@pytest.fixture(scope="module", autouse=True)
def dynamodb() -> Iterator[None]:
    """A table on moto."""
    with on_moto(TABLE):
        yield


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """The table that the next environments use."""
    made = Table()
    monkeypatch.setattr("resilient_runtime.stores.clients.client", lambda name: made)
    return made


@pytest.fixture
def first() -> int:
    """The number of the first record of a test: no other test has seen it or those after it."""
    return next(_numbers)


def remembering(function: Callable[..., Any], **more: Any) -> App:
    """A new environment in mode records that remembers what it did."""
    remembers = json.dumps({"table_name": TABLE, "expires_after": 3600})
    return stream_app(function, RESILIENT_IDEMPOTENCY=remembers, **more)


def killed_at(number: int, **more: Any) -> App:
    """An environment whose process dies of one record, and leaves it marked as in progress."""

    def handle(given: Any, call: Call) -> None:
        if number in [one["order"] for one in (given if isinstance(given, list) else [given])]:
            raise SystemExit

    return remembering(handle, **more)


@pytest.mark.usefixtures("table")
def test_a_longer_list_that_begins_at_the_same_record_is_not_taken_for_the_shorter_one(first: int) -> None:
    """What a list has more than one that was done is handled."""
    seen: list[int] = []

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        seen.extend(order["order"] for order in batch)

    remembering(handle, per_batch=True)(orders(first, first + 1))
    remembering(handle, per_batch=True)(orders(first, first + 1, first + 2))
    assert first + 2 in seen


@pytest.mark.usefixtures("table")
def test_a_list_whose_first_half_was_done_is_handled_whole(first: int) -> None:
    """A half that was done is not taken for the whole, when the whole comes again."""
    seen: list[int] = []

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        seen.extend(order["order"] for order in batch)

    remembering(handle, per_batch=True)(orders(first, first + 1))
    with pytest.raises(SystemExit):
        killed_at(first + 3, per_batch=True)(orders(first + 2, first + 3))
    app = remembering(handle, per_batch=True)
    assert returned(app(orders(*range(first, first + 4)))) == []
    assert {first + 2, first + 3} <= set(seen)


@pytest.mark.usefixtures("table")
def test_the_same_list_is_handled_once_also_when_it_is_replayed(first: int) -> None:
    """A list that was done is done without the handler whenever exactly it comes again."""
    sizes: list[int] = []
    event = orders(first, first + 1)
    for again in (event, event, {**event, REPLAYED: True}):
        app = remembering(lambda batch, call: sizes.append(len(batch)), per_batch=True)
        assert returned(app(again)) == []
    assert sizes == [2]
    assert app.statuses() == ["STARTED", "REPEATED", "COMPLETED"]


@pytest.mark.usefixtures("table")
def test_poison_of_a_list_is_handled_when_it_is_replayed(first: int) -> None:
    """What failed is not remembered as done, in whatever list it was."""
    seen: list[int] = []
    is_mended = False

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        numbers = [order["order"] for order in batch]
        if not is_mended and first in numbers:
            raise ValueError
        seen.extend(numbers)

    app = remembering(handle, per_batch=True)
    assert returned(app(orders(first, first + 1))) == []
    assert len(app.poison.entries) == 1
    is_mended = True
    remembering(handle, per_batch=True)({**orders(first), REPLAYED: True})
    assert seen == [first + 1, first]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5), st.lists(st.integers(1, 6), min_size=1, max_size=5)
)
def test_a_list_is_named_by_all_of_its_records(one: list[int], other: list[int]) -> None:
    """Two lists have the same key exactly where they are the same, and it is short."""
    keys = [key_of_list(records_of(orders(*numbers))) for numbers in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert max(map(len, keys)) < 128


def away_until(app: App, seconds: float) -> Callable[[], None]:
    """A table that is throttled for some seconds of an environment's clock."""

    def refuse() -> None:
        if app.clock.now < seconds:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "PutItem")

    return refuse


def test_a_table_that_is_away_makes_no_poison(table: Table, first: int) -> None:
    """While it cannot be known what is done, the batch waits in its place, and then all of it is done."""
    seen: list[int] = []
    app = remembering(lambda order, call: seen.append(order["order"]))
    table.before = away_until(app, 15.0)
    assert returned(app(orders(*range(first, first + 5)))) == []
    assert seen == list(range(first, first + 5))
    assert app.poison.entries == []
    assert table.puts < 30


def test_a_table_that_stays_away_sends_the_batch_back_at_its_first_record(table: Table, first: int) -> None:
    """The invocation lasts as long as it may, nothing is poison, and the record says what DynamoDB said."""
    app = remembering(lambda order, call: None)
    table.before = away_until(app, 1000.0)
    for _ in range(3):
        began = app.clock.now
        assert returned(app(orders(first, first + 1))) == [f"{first:056d}"]
        assert app.clock.now - began > 20
    assert app.poison.entries == []
    told = next(record for record in app.records if record["status"] == "HELD")
    assert "warm throughput" in told["reason"]
    assert "queue" not in told["reason"]


def test_a_table_that_hangs_until_the_deadline_makes_no_poison(table: Table, first: int) -> None:
    """A deadline that strikes while the table is asked tells nothing against the record."""

    def hang() -> None:
        raise DeadlineExceeded

    app = remembering(lambda order, call: None)
    table.before = hang
    for _ in range(3):
        assert returned(app(orders(first, first + 1))) == [f"{first:056d}"]
    assert app.poison.entries == []


def test_a_record_that_a_dead_process_was_at_holds_its_key_alone(table: Table, first: int) -> None:
    """It waits until its mark has ended, those of its key behind it, and all others are done meanwhile."""
    batch = orders(*range(first, first + 6), keys=2)
    with pytest.raises(SystemExit):
        killed_at(first)(batch)
    seen: list[tuple[int, bool]] = []
    app = remembering(lambda order, call: seen.append((order["order"] - first, app.clock.now > 15)))
    table.before = lambda: table.free() if app.clock.now > 15 else None
    asked = table.puts
    assert returned(app(batch)) == []
    assert seen == [(1, False), (3, False), (5, False), (0, True), (2, True), (4, True)]
    assert app.poison.entries == []
    assert table.puts - asked < 6 + 16


@pytest.mark.usefixtures("table")
def test_a_mark_that_outlasts_the_invocation_brings_the_record_back(first: int) -> None:
    """However often a record is found in other hands, that is no strike, and its shard goes on at it."""
    with pytest.raises(SystemExit):
        killed_at(first + 1)(orders(first, first + 1, first + 2))
    app = remembering(lambda order, call: None)
    for _ in range(3):
        assert returned(app(orders(first, first + 1, first + 2))) == [f"{first + 1:056d}"]
    assert app.poison.entries == []
    held = [record["reason"] for record in app.records if record["status"] == "HELD"]
    assert any("another environment is at work" in reason for reason in held)
    assert not any("queue" in reason or "visibility" in reason for reason in held)


def test_a_list_that_a_dead_process_was_at_waits_as_a_whole(table: Table, first: int) -> None:
    """A list in other hands is not taken apart: it waits, and is handled as it is."""
    with pytest.raises(SystemExit):
        killed_at(first, per_batch=True)(orders(first, first + 1))
    sizes: list[int] = []
    app = remembering(lambda batch, call: sizes.append(len(batch)), per_batch=True)
    table.before = lambda: table.free() if app.clock.now > 15 else None
    assert returned(app(orders(first, first + 1))) == []
    assert sizes == [2]
    assert app.poison.entries == []
