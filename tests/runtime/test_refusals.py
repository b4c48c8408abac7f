"""A slot whose batch an open circuit refused: how long it waits, when it does not, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import App, Ticking, batch_of, returned, sqs_record
from resilient_runtime import CircuitOpen
from resilient_runtime.breaker import CircuitState, MemoryCircuits, order
from resilient_runtime.clock import Clock
from resilient_runtime.lifecycle import NoGuard
from resilient_runtime.refusals import seconds_to_hold

COURIER = {"RESILIENT_DOWNSTREAMS": '[{"name":"Courier","breaker":{}}]'}


class Limited(NoGuard):
    """A guard of invocations that have so many seconds left."""

    margin = 1.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def left(self) -> float:
        """Seconds until Lambda's timeout."""
        return self.seconds


class Kept(Ticking):
    """A clock whose sleeps are kept, each with how many messages had been told to the queue by then."""

    def __init__(self) -> None:
        super().__init__()
        self.app: App | None = None
        self.slept: list[float] = []
        self.told: list[int] = []
        self.error: Exception | None = None

    @property
    def clock(self) -> Clock:
        """The same day for both clocks."""
        return Clock(wall=lambda: self.now, ticks=self.ticks)

    def sleep(self, seconds: float) -> None:
        """Keep how long."""
        assert self.app is not None
        self.slept.append(seconds)
        self.told.append(len(self.app.visibility.delays))
        if self.error is not None:
            raise self.error


class Slot:
    """An environment whose courier's circuit a person has opened, so that nobody knows for how long."""

    def __init__(self, guard: NoGuard | None = None) -> None:
        store = MemoryCircuits()
        order(store, "Courier", CircuitState.FORCED_OPEN, now=0, reason="moving house", by="anna")
        self.clock = Kept()
        self.app = App(self.handle, clocked=self.clock, circuits=store, guard=guard, **COURIER)
        self.clock.app = self.app

    @staticmethod
    def handle(body: Any, call: Any) -> None:
        """Hand an order to the courier, and anything else to nobody."""
        if body == "order":
            with call.downstream("Courier"):
                raise AssertionError("it is open")
        if isinstance(body, (int, float)):
            raise CircuitOpen("Bank", CircuitState.OPEN, body, "down")
        if body == "poison":
            raise ValueError(body)

    def batch(self, *bodies: object) -> list[str]:
        """Deliver messages; the ids of those that go back."""
        records = [sqs_record(message_id=f"m-{n}") for n in range(len(bodies))]
        for record, body in zip(records, bodies, strict=True):
            record["body"] = f'"{body}"' if isinstance(body, str) else str(body)
        return returned(self.app(batch_of(*records)))


def test_a_refused_slot_waits_once_for_its_whole_batch_and_after_the_queue_was_told() -> None:
    """Telling needs time of the invocation, waiting takes what is left over."""
    slot = Slot()
    slot.batch("order")
    slot.app.lines.clear()

    assert slot.batch("order", "order", "order") == ["m-0", "m-1", "m-2"]
    (seconds,) = slot.clock.slept
    assert 5 <= seconds < 5.5
    # Nobody knows when a person closes it: the refused one returns as its queue has it, the others too.
    assert slot.clock.told == [len(slot.app.visibility.delays)]
    assert slot.app.statuses() == ["STARTED", "CALLED", "HELD", "HELD", "HELD"]


def test_the_queue_is_told_before_the_slot_waits() -> None:
    """When the message returns is known to SQS whatever becomes of the wait."""
    slot = Slot()
    slot.batch(3)
    slot.batch(3)

    assert slot.clock.told == [2]
    assert all(seconds >= 3 for _, seconds in slot.app.visibility.delays)


def test_the_wait_doubles_while_nothing_is_done_and_begins_anew_when_something_was() -> None:
    """The first refusal costs no time, and a slot that meets others who are well is soon free for them."""
    slot = Slot()
    for _ in range(5):
        slot.batch("order")
    slot.batch("letter")
    slot.batch("order")
    slot.batch("order")

    assert [round(seconds / 5.25) for seconds in slot.clock.slept] == [1, 2, 4, 4, 1]


def test_a_batch_of_which_something_is_done_ends_at_once() -> None:
    """Its messages are deleted when the invocation ends, and an invocation that is killed repeats them."""
    slot = Slot()

    assert [slot.batch("letter", "order") for _ in range(3)] == [["m-1"]] * 3
    assert slot.clock.slept == []


def test_a_message_that_failed_does_not_sleep_in_its_slot() -> None:
    """Only who would not have been called at all waits."""
    slot = Slot()

    assert [slot.batch("poison", "poison") for _ in range(3)] == [["m-0", "m-1"]] * 3
    assert slot.clock.slept == []


def test_nobody_sleeps_through_the_probe() -> None:
    """The slot is free again when the next call may pass, and a tenth later at most."""
    slot = Slot()
    slot.batch(2)
    slot.batch(2)
    slot.batch(0.0)

    (seconds,) = slot.clock.slept
    assert 2 <= seconds < 2.2


@pytest.mark.parametrize(("left", "slept"), [(4.0, [2.0]), (2.0, []), (0.5, [])])
def test_the_wait_keeps_away_from_the_deadline(left: float, slept: list[float]) -> None:
    """Twice the margin is left: an invocation that only waits must not be told of as one that is late."""
    slot = Slot(Limited(left))
    slot.batch("order")
    slot.batch("order")

    assert slot.clock.slept == slept


def test_a_wait_that_breaks_costs_nothing() -> None:
    """The batch goes back as it would have."""
    slot = Slot()
    slot.clock.error = OSError("no clock")
    slot.batch("order")

    assert slot.batch("order") == ["m-0"]
    (broken,) = [one for one in slot.app.records if one["status"] == "BROKEN"]
    assert broken["part"] == "slot"


@given(
    retry_after=st.none() | st.floats(0, 1e6),
    in_a_row=st.integers(0, 10_000),
    spare=st.floats(-1e3, 1e3) | st.just(float("inf")),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_a_slot_is_never_held_for_longer_than_it_may(
    retry_after: float | None, in_a_row: int, spare: float, luck: float
) -> None:
    """Not past its invocation, nor past the moment of the next try and a tenth, nor past 22 seconds."""
    seconds = seconds_to_hold(retry_after, in_a_row, spare, lambda: luck)

    assert 0 <= seconds <= 22
    assert seconds <= max(spare, 0)
    if retry_after is not None:
        assert seconds <= retry_after * 1.1 + 1e-9
    if spare > 22 and (retry_after is None or retry_after > 5):
        assert (seconds >= 5) is (in_a_row >= 2)


def test_what_a_breaker_of_the_handlers_own_holds_has_ended_too() -> None:
    """Nobody told the alarm on what never ends of it, so there it counts as failed."""

    def handle(body: Any, call: Any) -> None:
        raise CircuitOpen("Courier", CircuitState.OPEN, 5.0, "down")

    app = App(handle)
    app(batch_of(sqs_record()))
    started, held = app.records
    assert held["status"] == "HELD"
    assert (started["Started"], started["Failed"], held["Failed"]) == (1, 0, 1)
    assert "Held" not in started | held
