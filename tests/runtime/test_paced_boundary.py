"""Turns where handlers meet them: ``with call.downstream("Courier")``, in a function as it is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from lambda_events import FIFO, App, Context, batch_of, returned, sqs_record
from resilient_runtime import Call, DeadlineExceeded, Retry, SlowDown
from resilient_runtime.clock import Clock
from resilient_runtime.paced_boundary import PacedBoundary
from resilient_runtime.pacing import Pacer
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import NoTurn

# Each of a hundred callers has a turn in ten seconds, and a burst that has room for all of their first ones.
SLOW = DownstreamSettings(name="Courier", requests_per_second=10, burst=100, max_concurrency=100)
BANK = DownstreamSettings(name="Bank", requests_per_second=10, burst=100, max_concurrency=100)


class Inner:
    """A boundary that notes what reaches it, and may raise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.seen: list[str] = []

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """A call."""
        self.seen.append("enter")
        if self.error is not None:
            raise self.error

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """Its end."""
        self.seen.append("leave")

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """Not made."""
        self.seen.append("give up")

    def done(self, call: Call, error: BaseException | None) -> None:
        """The end of a message."""
        self.seen.append("done")


class Place:
    """One environment, in which time passes only while it waits."""

    def __init__(self, inner: Inner | None = None) -> None:
        self.now = 0.0
        self.left = 600.0
        self.inner = inner or Inner()
        self.interrupted = False
        clock = Clock(wall=lambda: self.now, ticks=lambda: self.now)
        self.pacer = Pacer(clock=clock, random=lambda: 0.0, sleep=self.sleep)
        self.call = Call(
            message_id="m-1",
            boundary=PacedBoundary(self.pacer, self.inner),
            clock=clock,
            downstreams={"Courier": SLOW, "Bank": BANK},
            remaining=lambda: int((self.left - self.now) * 1000),
            margin_ms=0,
        )

    def sleep(self, seconds: float) -> None:
        """Wait for a turn, or be interrupted while waiting."""
        if self.interrupted:
            raise DeadlineExceeded
        self.now += seconds

    def cross(self, error: Exception | None = None, name: str = "Courier") -> float:
        """Make one call; returns when."""
        with self.call.downstream(name):
            if error is not None:
                raise error
        return self.now


def test_a_turn_comes_before_the_call_and_the_pace_learns_of_its_end() -> None:
    """What is inside is entered in its turn, and left."""
    place = Place()
    assert [place.cross() for _ in range(3)] == pytest.approx([0, 10, 20])
    assert place.inner.seen == ["enter", "leave"] * 3


@pytest.mark.parametrize("error", [RuntimeError("no"), DeadlineExceeded("too late")])
def test_a_call_that_is_refused_inside_gives_its_turn_back(error: BaseException) -> None:
    """Whoever is refused has not called, and the next one need not wait for that."""
    place = Place(Inner(error))
    with pytest.raises(type(error)):
        place.cross()
    place.inner.error = None
    assert [place.cross(), place.cross()] == pytest.approx([0, 10])


def test_a_call_without_time_gives_its_turn_back() -> None:
    """The message returns untried; the turn is the next message's."""
    place = Place()
    place.left = 0.0
    with pytest.raises(TimeoutError):
        place.cross()
    assert place.inner.seen == ["enter", "give up"]
    place.left = 600.0
    assert place.cross() == 0.0


def test_who_is_interrupted_while_waiting_gives_the_turn_back() -> None:
    """A wait that a deadline ends is no call: nothing is earned as if one were under way."""
    place = Place()
    place.cross()
    place.interrupted = True
    with pytest.raises(DeadlineExceeded):
        place.cross()
    place.interrupted = False
    place.now += 60
    # Idle for six intervals: one turn, not the credit of three that a long call would earn.
    assert [place.cross() - 60, place.cross() - 60] == pytest.approx([0, 10])


def test_who_is_interrupted_just_before_the_call_gives_the_turn_back() -> None:
    """The block that is not begun is never left, so nobody else would."""
    place = Place()

    def late() -> int:
        if place.interrupted:
            raise DeadlineExceeded
        return 600_000

    place.call.remaining = late
    place.interrupted = True
    with pytest.raises(DeadlineExceeded):
        place.cross()
    assert place.inner.seen == ["enter", "give up"]


def test_a_turn_that_is_too_far_off_at_one_downstream_slows_no_other_one() -> None:
    """The outer call of two was not refused by its downstream, and is paced as before."""
    place = Place()
    place.cross(name="Bank")
    with pytest.raises(SlowDown):
        place.cross(SlowDown(retry_after=100))
    for _ in range(2):
        with pytest.raises(NoTurn), place.call.downstream("Bank"):
            place.cross()
    before = place.now
    assert place.cross(name="Bank") - before < 11


def test_a_retry_does_not_try_for_a_turn_again() -> None:
    """A turn that is too far off ends the message at once: its slot is for the next one."""
    place = Place()
    with pytest.raises(SlowDown):
        place.cross(SlowDown(retry_after=100))
    before = place.now
    with pytest.raises(NoTurn):
        Retry(sleep=lambda _: pytest.fail("it waited")).call(place.cross)
    assert place.now - before == 20


def built(deliver: Callable[[Any, Any], None]) -> App:
    """A consumer of a downstream that takes a call of each environment in a hundred seconds."""
    one = {"name": "Courier", "requests_per_second": 1, "burst": 100, "max_concurrency": 100}
    return App(deliver, RESILIENT_DOWNSTREAMS=json.dumps([one]))


def deliver(body: Any, call: Any) -> None:
    """Call the courier, who asks for whatever the body says."""
    with call.downstream("Courier"):
        if body == "slow":
            raise SlowDown(retry_after=500)


def test_a_message_whose_turn_is_too_far_off_is_held() -> None:
    """It has not failed: it ends as HELD, is counted so, and returns when the environment's turn comes."""
    app = built(deliver)
    assert returned(app(batch_of(sqs_record(message_id="m-1")), Context(60_000))) == []
    app.lines.clear()
    assert returned(app(batch_of(sqs_record(message_id="m-2")), Context(60_000))) == ["m-2"]
    assert app.statuses() == ["STARTED", "HELD"]
    started, held = app.records
    assert (started["Held"], held["Held"], held["message_id"]) == (0, 1, "m-2")
    assert held["reason"].startswith("no turn: Courier was not called: its next turn is in ")
    assert "stack" not in held
    ((id_, seconds),) = app.visibility.delays
    assert id_ == "m-2"
    # It waited for all but the margin of the minute that it had.
    assert 39 < seconds < 45


def test_messages_behind_one_without_a_turn_return_with_it() -> None:
    """In a FIFO queue they could not be received before it anyway."""
    app = built(deliver)
    app(batch_of(sqs_record()), Context(60_000))
    group = [sqs_record(message_id=f"m-{number}", group="a", arn=FIFO) for number in (2, 3)]
    assert returned(app(batch_of(*group), Context(60_000))) == ["m-2", "m-3"]
    (_, first), (_, second) = app.visibility.delays
    assert first == second


def test_a_429_of_a_built_function_keeps_the_next_message_away() -> None:
    """The first message failed and was told to wait; the second is held without a call."""
    app = built(deliver)
    event = batch_of(sqs_record("slow", message_id="m-1"), sqs_record("ok", message_id="m-2"))
    assert returned(app(event, Context(60_000))) == ["m-1", "m-2"]
    assert app.statuses() == ["STARTED", "CALLED", "FAILED", "STARTED", "HELD"]
    (_, first), (_, second) = app.visibility.delays
    assert first > 500
    assert second > 400


def test_in_mode_event_a_turn_that_is_too_far_off_goes_on_to_lambda() -> None:
    """There is no queue to give anything back to: who invoked the function has to know, and at once."""
    one = {"name": "Courier", "requests_per_second": 1, "burst": 100, "max_concurrency": 100}

    def handle(event: Any, context: Any) -> None:
        from resilient_runtime import current_call

        call = current_call()
        assert call is not None
        with call.downstream("Courier"):
            pass

    app = App(handle, "event", RESILIENT_DOWNSTREAMS=json.dumps([one]))
    app({})
    before = app.clock.now
    with pytest.raises(NoTurn):
        app({})
    assert app.statuses() == ["STARTED", "CALLED", "COMPLETED", "STARTED", "FAILED"]
    assert app.clock.now - before < 5
