"""A record that parked its key and comes again, and a table of parked keys that does not answer in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from lambda_events import App, Ticking, returned
from pretended_watch import World, in_handler
from resilient_runtime import Call
from resilient_runtime.streams.records import StreamRecord
from stream_events import COURIER, KeptKeys, Timed, orders, stream_app


def failing(*numbers: int, seen: list[int]) -> Callable[[dict[str, Any], Call], None]:
    """A handler that cannot do some orders."""

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] in numbers:
            raise ValueError("no such street")
        seen.append(order["order"])

    return handle


def test_poison_that_was_parked_but_not_kept_is_tried_again_and_kept_with_its_error() -> None:
    """After a process that parked a key and died, the next one keeps the record as what it is."""
    seen: list[int] = []
    keys = KeptKeys()
    dying = stream_app(failing(1, seen=seen), parked_keys=keys)
    dying.poison.broken = lambda entry: True
    assert returned(dying(orders(1, 2, 3, keys=2))) == [f"{1:056d}"]
    assert keys.keys == {"k1"}

    app = stream_app(failing(1, seen=seen), parked_keys=keys)
    assert returned(app(orders(1, 2, 3, keys=2))) == []
    first, second = app.poison.entries
    assert (first["kind"], first["error"]) == ("POISON", "ValueError: no such street")
    assert first["stack"]
    assert (second["kind"], second["partition_key"]) == ("PARKED", "k1")
    assert set(seen) == {2}


def test_what_comes_after_the_record_that_parked_its_key_waits_although_that_is_not_there() -> None:
    """A later batch of a parked key is kept behind its poison, whatever else is tried again."""
    seen: list[int] = []
    keys = KeptKeys()
    app = stream_app(failing(3, seen=seen), parked_keys=keys)
    app(orders(3, keys=2))
    assert returned(app(orders(5, 6, keys=2))) == []
    assert [entry["kind"] for entry in app.poison.entries] == ["POISON", "PARKED"]
    assert seen == [6]


def test_what_came_before_the_record_that_parked_its_key_is_done_again_and_not_parked() -> None:
    """When half a batch comes again without its poison, nothing of it is kept behind what comes after it."""
    seen: list[int] = []
    keys = KeptKeys()
    stream_app(failing(5, seen=seen), parked_keys=keys)(orders(1, 3, 5, keys=2))
    seen.clear()
    app = stream_app(failing(5, seen=seen), parked_keys=keys)
    assert returned(app(orders(1, 3, keys=2))) == []
    assert seen == [1, 3]
    assert app.poison.entries == []


def test_a_tables_conflicts_are_waited_for_while_the_invocation_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table that the settings name gets the invocation's time, less what is kept back, and its sleep."""
    made: dict[str, Any] = {}

    def make(table: str, **given: Any) -> KeptKeys:
        made.update(given, table=table)
        return KeptKeys()

    monkeypatch.setattr("resilient_runtime.streams.equipment.DynamoDBParkedKeys", make)
    clock = Ticking()
    guard = Timed(clock, 30.0)
    guard.margin = 1.0
    stream = {"poison_queue_url": "https://queue", "poison_bucket": "bucket", "parked_table": "Parked"}
    App(lambda order, call: None, "records", clocked=clock, guard=guard, RESILIENT_STREAM=json.dumps(stream))
    guard.arm(None)
    made["sleep"](4.0)
    assert made["left"]() == 25.0
    assert made["table"] == "Parked"


class Hanging(KeptKeys):
    """A table of which one call takes a minute; Lambda's kill ends the test."""

    def __init__(self, world: World, hangs: str) -> None:
        super().__init__()
        self._world = world
        self._hangs = hangs

    def _answer(self, call: str) -> None:
        for _ in range(600 if call == self._hangs else 0):
            self._world.move(0.1)
            if self._world.now >= self._world.ends:
                raise SystemExit("killed")
            self._world.signal(in_handler())

    def read(self) -> set[str]:
        """Which wait."""
        self._answer("read")
        return super().read()

    def add(self, key: str, record: StreamRecord) -> None:
        """Park it."""
        self._answer("add")
        super().add(key, record)

    def wait(self, key: str, record: StreamRecord) -> None:
        """Note it."""
        self._answer("wait")
        super().wait(key, record)


class Ending:
    """Lambda's context of an invocation that has ten seconds."""

    aws_request_id = "request"

    def __init__(self, world: World) -> None:
        world.ends = world.now + 10
        self.get_remaining_time_in_millis = world.remaining


def hanging_app(world: World, keys: KeptKeys, handle: Callable[..., Any]) -> App:
    """An environment whose deadline is the world's."""
    return App(
        handle,
        "records",
        guard=world.deadline,
        clocked=world,  # type: ignore[arg-type]
        parked_keys=keys,
        RESILIENT_STREAM=json.dumps({"poison_queue_url": "https://queue", "poison_bucket": "bucket"}),
        RESILIENT_DOWNSTREAMS=COURIER,
    )


@pytest.mark.parametrize("hangs", ["add", "wait"])
def test_a_table_that_does_not_answer_costs_the_batch_nothing_that_is_done(hangs: str) -> None:
    """Parking is interrupted in time: what was done before it is answered for, and the record comes again."""
    seen: list[int] = []
    world = World()
    keys = Hanging(world, hangs)
    if hangs == "wait":
        keys.keys = {"k2"}
    app = hanging_app(world, keys, failing(2, seen=seen))
    assert returned(app(orders(1, 2, 3), Ending(world))) == [f"{2:056d}"]
    assert 1 in seen
    assert app.poison.entries == []
    assert "NOT_KEPT" in app.statuses()


def test_reading_which_keys_are_parked_ends_in_time_too() -> None:
    """A batch whose order nobody knows fails by itself, and says so, before Lambda would kill it."""
    world = World()
    app = hanging_app(world, Hanging(world, "read"), lambda order, call: None)
    with pytest.raises(Exception, match="time") as raised:
        app(orders(1), Ending(world))
    assert type(raised.value).__name__ == "InvocationTimedOut"
    assert "NOT_KEPT" in app.statuses()
