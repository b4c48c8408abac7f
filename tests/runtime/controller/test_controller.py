"""What the controller does when it looks, and how it goes on after mishaps."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from mapping_world import BEGAN, Crash, World
from resilient_runtime.breaker.circuit import CircuitState
from resilient_runtime.controller import FeedSettings, MappingState
from resilient_runtime.controller.controller import Wake
from resilient_runtime.controller.feeding import ENDLESS_RETRIES

COURIER = FeedSettings("m1", ("Courier",), "50")
BOTH = FeedSettings("m2", ("Courier", "Database"), "10")


@pytest.fixture
def world() -> World:
    """One consumer of one downstream."""
    return World(feeds=(COURIER,), names=("Courier",))


def test_an_outage_pauses_probes_and_restores(world: World) -> None:
    """Open: disabled; recovery time over: enabled at two; closed: as configured; three updates in all."""
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("m1") == MappingState("Disabled", 50)
    assert world.wakes == [(BEGAN + 15, Wake("Courier", 1, recovery=True))]
    world.now += 15
    for wake in world.due_wakes():
        world.controller.on_wake(wake, world.left)
    assert world.look("m1") == MappingState("Enabled", 2)
    world.controller.on_stream([world.be("Courier", CircuitState.HALF_OPEN)], world.left)
    world.controller.on_stream([world.be("Courier", CircuitState.CLOSED)], world.left)
    assert world.look("m1") == MappingState("Enabled", 50)
    assert len(world.updates) == 3
    assert world.wakes == []


def test_a_stream_is_paused_and_resumed() -> None:
    """Open: disabled; recovery time over: enabled, with nothing else changed, and left so when it closes."""
    world = World(feeds=(FeedSettings("stream", ("Courier",)),), names=("Courier",))
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("stream") == MappingState("Disabled")
    world.now += 15
    for wake in world.due_wakes():
        world.controller.on_wake(wake, world.left)
    assert world.look("stream") == MappingState("Enabled")
    world.controller.on_stream([world.be("Courier", CircuitState.HALF_OPEN)], world.left)
    world.controller.on_stream([world.be("Courier", CircuitState.CLOSED)], world.left)
    assert world.updates == [("stream", False, None), ("stream", True, None)]


def test_a_streams_own_retries_come_back_with_the_closed_circuit() -> None:
    """From the moment it opens a batch comes again without end, and as often as was said once it closes."""
    world = World(feeds=(FeedSettings("stream", ("Courier",), "", "1"),), names=("Courier",))
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("stream") == MappingState("Disabled", None, ENDLESS_RETRIES)
    world.now += 15
    for wake in world.due_wakes():
        world.controller.on_wake(wake, world.left)
    world.controller.on_stream([world.be("Courier", CircuitState.HALF_OPEN)], world.left)
    assert world.look("stream") == MappingState("Enabled", None, ENDLESS_RETRIES)
    world.controller.on_stream([world.be("Courier", CircuitState.CLOSED)], world.left)
    assert world.look("stream") == MappingState("Enabled", None, 1)
    assert len(world.updates) == 3


def test_a_failed_probe_pauses_again(world: World) -> None:
    """A circuit that a probe opened again is paused again, until its longer recovery time is over."""
    world.be("Courier", CircuitState.HALF_OPEN)
    world.controller.on_schedule(world.left)
    assert world.look("m1") == MappingState("Enabled", 2)
    world.controller.on_stream([world.open("Courier", seconds=30)], world.left)
    assert world.look("m1").state == "Disabled"
    assert world.wakes == [(BEGAN + 30, Wake("Courier", 2, recovery=True))]


def test_an_older_event_does_nothing(world: World) -> None:
    """The record of an opening that comes after the closing changes no mapping and wakes nobody."""
    late = world.open("Courier")
    world.be("Courier", CircuitState.CLOSED)
    world.controller.on_stream([late], world.left)
    assert world.updates == []
    assert world.wakes == []


def test_a_message_about_an_older_opening_ends_there(world: World) -> None:
    """The chain of an earlier opening is not continued: the newer opening's record began its own."""
    world.open("Courier")
    world.open("Courier", seconds=60)
    world.controller.on_wake(Wake("Courier", 1, recovery=True), world.left)
    assert world.look("m1").state == "Disabled"
    assert world.wakes == []


def test_a_long_recovery_is_waited_for_in_parts(world: World) -> None:
    """SQS keeps a message back for at most 15 minutes; for an hour, four are left one after the other."""
    world.controller.on_stream([world.open("Courier", seconds=3600)], world.left)
    looks = 0
    while world.wakes and world.now < BEGAN + 3600:
        world.now = world.wakes[0][0]
        for wake in world.due_wakes():
            looks += 1
            world.controller.on_wake(wake, world.left)
    assert looks == 4
    assert world.now == BEGAN + 3600
    assert world.look("m1") == MappingState("Enabled", 2)


def test_a_mapping_in_change_is_looked_at_again(world: World) -> None:
    """While Lambda changes a mapping the controller leaves itself messages, rarer each time, and ends."""
    world.slow = 40
    world.controller.on_stream([world.open("Courier", seconds=300)], world.left)
    pauses = []
    while [wake for _, wake in world.wakes if wake.tries or world.look("m1").state == "Disabling"]:
        at, _ = min(world.wakes, key=lambda one: one[0])
        pauses.append(at - world.now)
        world.now = at
        for wake in world.due_wakes():
            world.controller.on_wake(wake, world.left)
    assert world.look("m1").state == "Disabled"
    assert pauses == sorted(pauses)
    assert len(pauses) < 8


def test_a_throttled_call_is_tried_again(world: World) -> None:
    """Two refusals cost two short jittered pauses within the invocation, not the pausing of the source."""
    world.busy = 2
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("m1").state == "Disabled"
    assert world.slept == [0.2, 0.4]


def test_without_time_it_goes_on_later(world: World) -> None:
    """Close to the end of its invocation the controller does not wait: it leaves itself a message."""
    world.busy, world.remaining = 1, 5.1
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.slept == []
    assert (BEGAN + 2, Wake("Courier", 1)) in world.wakes
    world.now += 2
    for wake in world.due_wakes():
        world.controller.on_wake(wake, world.left)
    assert world.look("m1").state == "Disabled"


def test_the_reconciler_repairs_drift(world: World) -> None:
    """Whatever somebody did to a mapping by hand, the reconciler brings it back to what its circuit says."""
    world.update("m1", enabled=False, concurrency=7, retries=None)
    world.controller.on_schedule(world.left)
    assert world.look("m1") == MappingState("Enabled", 50)


def test_the_reconciler_begins_a_lost_chain_anew(world: World) -> None:
    """Where the opening's record was lost the mapping is paused late, and woken up in time."""
    world.open("Courier", seconds=100)
    world.controller.on_schedule(world.left)
    assert world.look("m1").state == "Disabled"
    assert world.wakes == [(BEGAN + 100, Wake("Courier", 1, recovery=True))]


def test_the_reconciler_waits_for_its_next_run_where_it_can(world: World) -> None:
    """A recovery time that ends after its next run is left to that run."""
    world.open("Courier", seconds=121)
    world.controller.on_schedule(world.left)
    assert world.wakes == []


def test_a_consumer_of_two_needs_both() -> None:
    """A mapping whose function calls two downstreams is full again only when both circuits are closed."""
    world = World(feeds=(COURIER, BOTH), names=("Courier", "Database"))
    world.controller.on_stream([world.open("Courier"), world.open("Database")], world.left)
    assert {world.look(one).state for one in ("m1", "m2")} == {"Disabled"}
    world.controller.on_stream([world.be("Courier", CircuitState.CLOSED)], world.left)
    assert world.look("m1") == MappingState("Enabled", 50)
    assert world.look("m2").state == "Disabled"
    world.controller.on_stream([world.be("Database", CircuitState.CLOSED)], world.left)
    assert world.look("m2") == MappingState("Enabled", 10)


def test_every_change_is_told_once_in_order(world: World) -> None:
    """Each transition is an event with its reason and version, and a line that is the metric as well."""
    records = [world.open("Courier"), world.be("Courier", CircuitState.CLOSED)]
    world.controller.on_stream(records, world.left)
    details = [json.loads(one["Detail"]) for one in world.events]
    assert [(one["before"], one["after"], one["version"]) for one in details] == [
        ("CLOSED", "OPEN", 1),
        ("OPEN", "CLOSED", 2),
    ]
    assert details[0]["reason"] == "all failed"
    assert details[0]["changed_at"] == "2027-01-15T08:00:00.000Z"
    assert details[0]["retry_at"] == "2027-01-15T08:00:15.000Z"
    assert {one["Source"] for one in world.events} == {"resilient-constructs"}
    lines: list[dict[str, Any]] = [json.loads(line) for line in world.lines]
    assert [line["CircuitState"] for line in lines] == [2, 0]
    assert lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Circuits", "Downstream"]]


def test_what_another_controller_tells_is_not_told_twice() -> None:
    """A controller beside consumers of another stack's downstream pauses them, and tells nothing."""
    world = World(feeds=(COURIER,), names=())
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("m1").state == "Disabled"
    assert world.events == []


def test_the_reconciler_tells_each_circuits_state(world: World) -> None:
    """Alarm and dashboard have a value every few minutes, also while nothing changes."""
    world.controller.on_schedule(world.left)
    (line,) = map(json.loads, world.lines)
    assert (line["Downstream"], line["CircuitState"]) == ("Courier", 0)


def test_a_mapping_that_may_not_be_changed_stops_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is told all the same, a message is left, and the reconciler fails, for its alarm."""

    def refuse(mapping: str, **changes: Any) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(world, "update", refuse)
    world.controller.on_stream([world.open("Courier")], world.left)
    assert len(world.events) == 1
    assert Wake("Courier", 1) in [wake for _, wake in world.wakes]
    with pytest.raises(ExceptionGroup) as told:
        world.controller.on_schedule(world.left)
    assert told.group_contains(PermissionError)


def test_a_controller_that_dies_in_the_middle_is_repeated(world: World) -> None:
    """Wherever its process ends, the same record again, or the reconciler, leads to the same mapping."""
    record = world.open("Courier")
    for calls in range(8):
        world.crash_after = calls
        with suppress(Crash):
            world.controller.on_stream([record], world.left)
        world.crash_after = None
        world.controller.on_stream([record], world.left)
        assert world.look("m1").state == "Disabled"
        world.update("m1", enabled=True, concurrency=50, retries=None)


def test_the_older_of_two_controllers_corrects_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that read OPEN, was overtaken by the closing, and then disabled the mapping, enables it again."""
    record = world.open("Courier")
    update = world.update
    overtaken = []

    def overtake(mapping: str, **changes: Any) -> None:
        if not overtaken:
            overtaken.append(world.be("Courier", CircuitState.CLOSED))
        update(mapping, **changes)

    monkeypatch.setattr(world, "update", overtake)
    world.controller.on_stream([record], world.left)
    assert world.look("m1") == MappingState("Enabled", 50)
    assert [enabled for _, enabled, _ in world.updates] == [False, True]


def test_lambda_may_be_busy_for_long(world: World) -> None:
    """Refused for a whole invocation, the controller goes on after two seconds, without an error."""
    world.busy = 3
    world.controller.on_stream([world.open("Courier")], world.left)
    assert world.look("m1").state == "Enabled"
    assert min(at for at, _ in world.wakes) == pytest.approx(world.now + 2, abs=1)
