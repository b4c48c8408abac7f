from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, STANDARD, App, Ticking, batch_of, returned, sqs_record
from resilient_runtime import Call, Reject, current_call
from resilient_runtime.clock import Clock
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.lifecycle import NoGuard


class Time(NoGuard):
    """A guard, and the clock that it goes by; only messages take time."""

    margin = 1.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False

    def left(self) -> float:
        """Seconds until Lambda's timeout."""
        return self.seconds

    def take(self, seconds: float) -> None:
        """Let time go by, until the deadline at most."""
        self.seconds -= seconds
        if self.seconds <= self.margin:
            self.passed = True

    def interrupt(self) -> None:
        """Do as the real one does once its time has come."""
        if self.passed:
            raise DeadlineExceeded("interrupted")


class Clocked(Ticking):
    """The time that is left, seen as a clock."""

    def __init__(self, guard: Time) -> None:
        super().__init__()
        self.guard = guard

    @property
    def clock(self) -> Clock:
        """At noon, and as late as the guard says."""
        return Clock(wall=super().clock.wall, ticks=lambda: -self.guard.seconds)


def app_of(handle: Any, guard: Time) -> App:
    """A message handler that goes by this guard's time."""
    return App(handle, guard=guard, clocked=Clocked(guard))


def test_a_message_is_not_begun_without_the_time_for_it() -> None:
    """What was completed stays completed; what was not begun goes back, in order, and says why."""
    guard = Time(2.3)
    seen: list[Any] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(body)
        guard.take(0.5)

    app = app_of(handle, guard)
    response = app(batch_of(*(sqs_record(n, message_id=f"m-{n}") for n in range(5))))
    assert seen == [0, 1]
    assert returned(response) == ["m-2", "m-3", "m-4"]
    held = [record for record in app.records if record["status"] == "HELD"]
    assert [record["message_id"] for record in held] == ["m-2", "m-3", "m-4"]
    assert held[0]["reason"] == (
        "1.30 s are left of this invocation, 1.00 s of them to report in, and a message takes 0.50 s"
    )
    assert "_aws" not in held[0]


def test_a_message_that_is_interrupted_goes_back_and_the_rest_is_not_begun() -> None:
    """The deadline costs the message that it came in, and none before it."""
    guard = Time(2.0)
    seen: list[Any] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(body)
        guard.take(body)
        guard.interrupt()

    app = app_of(handle, guard)
    response = app(batch_of(*(sqs_record(n, message_id=f"{n}") for n in (0.1, 0.2, 9, 0.3))))
    assert seen == [0.1, 0.2, 9]
    assert returned(response) == ["9", "0.3"]
    assert app.statuses() == ["STARTED", "COMPLETED", "STARTED", "COMPLETED", "STARTED", "FAILED", "HELD"]
    assert app.records[5]["error"] == "DeadlineExceeded: interrupted"
    assert app.records[6]["reason"] == "the time of this invocation is over"
    assert current_call() is None


def test_a_message_that_was_done_in_spite_of_the_deadline_is_done() -> None:
    """A handler that catches the interruption and returns has completed its message."""
    guard = Time(1.5)

    def handle(body: Any, call: Call) -> None:
        guard.take(5)
        try:
            guard.interrupt()
        except DeadlineExceeded:
            return

    app = app_of(handle, guard)
    assert returned(app(batch_of(sqs_record(), sqs_record(message_id="m-2")))) == ["m-2"]
    assert app.statuses() == ["STARTED", "COMPLETED", "HELD"]


def test_the_next_batch_knows_how_long_messages_take() -> None:
    """What the environment has learned stays; a batch's first message is begun all the same."""
    guard = Time(60)
    seen: list[Any] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(body)
        guard.take(5)

    app = app_of(handle, guard)
    app(batch_of(*(sqs_record(n, message_id=f"{n}") for n in range(6))))
    guard.seconds, guard.passed = 8, False
    assert returned(app(batch_of(sqs_record(6, message_id="6"), sqs_record(7, message_id="7")))) == ["7"]
    assert seen == [*range(7)]


def test_the_timeout_of_a_downstream_is_time_that_a_message_needs() -> None:
    """Until enough messages have told how long they take, a downstream's timeout says how long they may."""
    guard = Time(10)

    def handle(body: Any, call: Call) -> None:
        with call.downstream("Courier", timeout=4):
            guard.take(2.5)

    app = App(handle, guard=guard, clocked=Clocked(guard), RESILIENT_DOWNSTREAMS='[{"name":"Courier"}]')
    records = [sqs_record(n, message_id=f"{n}") for n in range(5)]
    # 10 s - 2 × 2.5 s leave 4 s beside the margin, the third time only 1.5 s: a second try may need all four.
    assert returned(app(batch_of(*records))) == ["3", "4"]


def test_ten_thousand_messages_are_returned_at_once() -> None:
    """When there is no time, telling of each would take more of it: a hundred are told, and how many more."""
    guard = Time(60)

    def handle(body: Any, call: Call) -> None:
        guard.take(100)

    app = app_of(handle, guard)
    response = app(batch_of(*(sqs_record(message_id=f"{n}") for n in range(10_000))))
    assert returned(response) == [f"{n}" for n in range(1, 10_000)]
    held = [record for record in app.records if record["status"] == "HELD"]
    assert len(held) == 101
    assert held[-1]["message_id"] == "9999"
    assert held[-1]["reason"].endswith("; and 9,898 more before this one")


OUTCOMES = st.sampled_from(["ok", "fail", "reject", "catch"])


@given(
    st.lists(st.tuples(OUTCOMES, st.sampled_from("abc"), st.floats(0, 3)), max_size=10),
    st.floats(0.5, 8),
    st.booleans(),
)
def test_whatever_time_there_is_nothing_is_lost(
    plan: list[tuple[str, str, float]], seconds: float, fifo: bool
) -> None:
    """Each message is completed, stored or returned, exactly one of them; and a group keeps its order."""
    guard = Time(seconds)
    begun: list[str] = []
    completed: list[str] = []

    def handle(body: Any, call: Call) -> None:
        begun.append(str(call.message_id))
        outcome, _, takes = plan[int(str(call.message_id))]
        guard.take(takes)
        try:
            guard.interrupt()
        except DeadlineExceeded:
            if outcome != "catch":
                raise
        if outcome == "fail":
            raise ValueError(outcome)
        if outcome == "reject":
            raise Reject(outcome)
        completed.append(str(call.message_id))

    app = app_of(handle, guard)
    records = [
        sqs_record(message_id=f"{n}", group=group, arn=FIFO if fifo else STANDARD)
        for n, (_, group, _) in enumerate(plan)
    ]
    back = returned(app(batch_of(*records)))
    ids = [record["messageId"] for record in records]
    assert sorted([*back, *completed, *app.dead_letters.ids], key=int) == ids
    assert back == sorted(back, key=int)
    assert not set(begun) & {record["message_id"] for record in app.records if record["status"] == "HELD"}
    if fifo:
        for group in "abc":
            mine = [one for one, (_, its, _) in zip(ids, plan, strict=True) if its == group]
            first = next((n for n, one in enumerate(mine) if one in back), len(mine))
            assert [one for one in back if one in mine] == mine[first:]
    if plan and seconds > Time.margin:
        assert begun, "the first message is tried whatever came before"


def test_an_interpreter_that_ends_takes_the_whole_batch_back() -> None:
    """Another BaseException than the deadline's is not ours to stop."""

    def handle(body: Any, call: Call) -> None:
        raise KeyboardInterrupt

    app = app_of(handle, Time(60))
    with pytest.raises(KeyboardInterrupt):
        app(batch_of(sqs_record()))
    assert app.statuses() == ["STARTED", "FAILED"]
