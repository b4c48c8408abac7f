from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from lambda_events import returned
from resilient_runtime import Call, Reject
from stream_events import (
    SHARD,
    STREAM,
    KeptKeys,
    kinesis_record,
    orders,
    stream_app,
    table_record,
)


def test_every_record_is_handled_in_the_shards_order() -> None:
    """Good records are handled one by one, in order, and the checkpoint passes them all."""
    seen: list[int] = []
    app = stream_app(lambda order, call: seen.append(order["order"]))
    assert app(orders(1, 2, 3)) == {"batchItemFailures": []}
    assert seen == [1, 2, 3]
    assert app.statuses() == ["STARTED", "COMPLETED"] * 3


def test_poison_is_kept_whole_with_its_reason_and_the_rest_goes_on() -> None:
    """A record that fails twice by itself is stored whole, and neither it nor the others come again."""
    seen: list[int] = []

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] == 2:
            raise KeyError("address")
        seen.append(order["order"])

    app = stream_app(handle)
    assert app(orders(1, 2, 3)) == {"batchItemFailures": []}
    assert seen == [1, 3]
    (entry,) = app.poison.entries
    assert entry["kind"] == "POISON"
    assert entry["stream"] == STREAM
    assert entry["shard"] == SHARD
    assert entry["partition_key"] == "k2"
    assert entry["error"] == "KeyError: 'address'"
    assert "handle" in entry["stack"]
    assert entry["strikes"] == 2
    assert entry["arrived_at"] == 1_800_000_000.5
    assert base64.b64decode(entry["record"]["kinesis"]["data"]) == b'{"order": 2}'
    assert app.statuses().count("FAILED") == 2
    assert app.statuses().count("POISONED") == 1


def test_a_rejected_record_is_poison_at_once() -> None:
    """What the handler rejects is stored at its first failure, with the handler's words."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise Reject("no such courier")

    app = stream_app(handle)
    assert returned(app(orders(1))) == []
    assert app.poison.entries[0]["reason"] == "no such courier"
    assert app.statuses() == ["STARTED", "REJECTED", "POISONED"]


def test_the_shard_waits_at_poison_that_cannot_be_kept() -> None:
    """When the poison store refuses, the checkpoint stays before the record, and the log says what to do."""

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] == 2:
            raise ValueError

    app = stream_app(handle)
    app.poison.broken = lambda entry: True
    assert returned(app(orders(1, 2, 3))) == [f"{2:056d}"]
    told = next(record for record in app.records if record["status"] == "NOT_KEPT")
    assert "sqs:SendMessage" in told["remedy"]
    assert told["NotKept"] == 1


def test_records_behind_the_checkpoint_are_not_done_again_by_the_same_environment() -> None:
    """What was done behind a record that comes again is remembered until the shard's next batch."""
    seen: list[int] = []

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] == 2:
            raise ValueError
        seen.append(order["order"])

    app = stream_app(handle)
    app.poison.broken = lambda entry: True
    app(orders(1, 2, 3))
    app.poison.broken = lambda entry: False
    assert returned(app(orders(2, 3))) == []
    assert seen == [1, 3]
    assert len(app.poison.entries) == 1


def test_a_handler_of_batches_gets_halves_until_the_poison_is_alone() -> None:
    """A handler that takes all records at once is given halves, and only the poison is stored."""
    sizes: list[int] = []
    done: list[int] = []

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        sizes.append(len(batch))
        if any(order["order"] == 6 for order in batch):
            raise ValueError
        done.extend(order["order"] for order in batch)

    app = stream_app(handle, per_batch=True)
    assert returned(app(orders(*range(1, 9)))) == []
    assert done == [1, 2, 3, 4, 5, 7, 8]
    assert sizes == [8, 4, 4, 2, 1, 1, 2]
    assert [entry["partition_key"] for entry in app.poison.entries] == ["k6"]


def test_a_parked_keys_records_are_kept_in_order_until_it_is_resolved() -> None:
    """With parking, what comes after poison of a key is kept behind it; other keys go on."""
    seen: list[int] = []

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] == 1:
            raise ValueError
        seen.append(order["order"])

    keys = KeptKeys()
    app = stream_app(handle, parked_keys=keys)
    assert returned(app(orders(1, 2, 3, 4, 5, keys=2))) == []
    assert seen == [2, 4]
    assert [entry["kind"] for entry in app.poison.entries] == ["POISON", "PARKED", "PARKED"]
    assert keys.keys == {"k1"}
    assert returned(app(orders(7, 8, keys=2))) == []
    assert seen == [2, 4, 8]


def test_a_key_that_cannot_be_parked_holds_its_poison_back() -> None:
    """Poison is not stored while its key cannot be parked, or its followers would pass it."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise ValueError

    keys = KeptKeys()
    keys.broken = True
    app = stream_app(handle, parked_keys=keys)
    assert returned(app(orders(1, 3, keys=2))) == [f"{1:056d}"]
    assert app.poison.entries == []


def test_a_tables_stream_comes_as_plain_values() -> None:
    """A record of a DynamoDB stream reaches the handler as what changed, in Python's values."""
    seen: list[Any] = []
    app = stream_app(lambda change, call: seen.append(change))
    image = {
        "id": {"S": "7"},
        "n": {"N": "3"},
        "price": {"N": "1.5"},
        "tags": {"SS": ["a"]},
        "raw": {"B": base64.b64encode(b"x").decode()},
        "deep": {"M": {"list": {"L": [{"BOOL": True}, {"NULL": True}]}}},
    }
    app({"Records": [table_record("INSERT", NewImage=image)]})
    assert seen == [
        {
            "event": "INSERT",
            "keys": {"id": "7"},
            "new": {
                "id": "7",
                "n": 3,
                "price": Decimal("1.5"),
                "tags": {"a"},
                "raw": b"x",
                "deep": {"list": [True, None]},
            },
            "old": None,
        }
    ]


@pytest.mark.parametrize("data", [b"\xff\x00", b"plain words"])
def test_data_that_is_no_json_reaches_the_handler_as_it_is(data: bytes) -> None:
    """What is no JSON comes as text, and what is no text as bytes."""
    seen: list[Any] = []
    app = stream_app(lambda given, call: seen.append(given))
    app({"Records": [kinesis_record(data)]})
    assert seen == [data if data[0] == 0xFF else data.decode()]


def test_an_event_of_no_stream_fails_before_anything_is_done() -> None:
    """A batch of something else is refused, and the error says what to do."""
    app = stream_app(lambda given, call: None)
    with pytest.raises(ValueError, match="no record of a Kinesis or DynamoDB stream"):
        app({"Records": [{"messageId": "m-1", "eventSource": "aws:sqs"}]})


def test_the_interpreter_going_down_leaves_the_batch_to_lambda() -> None:
    """A handler that ends its process brings the whole batch back, and its record says why."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise SystemExit

    app = stream_app(handle)
    with pytest.raises(SystemExit):
        app(orders(1))
    assert app.statuses() == ["STARTED", "FAILED"]


def test_a_rejected_record_whose_key_cannot_be_parked_has_ended() -> None:
    """It comes again, and is no work that never ends."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise Reject("never")

    keys = KeptKeys()
    keys.broken = True
    app = stream_app(handle, parked_keys=keys)
    assert returned(app(orders(1))) != []
    assert app.statuses().count("STARTED") == app.statuses().count("FAILED") > 0
