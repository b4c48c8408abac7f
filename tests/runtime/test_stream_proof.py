"""What proves that a record is poison, and what its entry says of it: why, and how often it failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lambda_events import NOON, App, Ticking, returned
from resilient_runtime import Call, Reject
from resilient_runtime.breaker import BreakerPolicy, MemoryCircuits
from resilient_runtime.clock import Clock
from resilient_runtime.streams.effects import Outcome
from shard_world import ShardWorld
from stream_events import Timed, orders, stream_app

from resilient_constructs.forecast.stream_mapping import StreamMapping

SILENCE = "it failed at least 12 times in a row while the breaker, which sees all shards, stayed closed"


def only(app: App) -> Any:
    """The one entry of an environment's poison store."""
    (entry,) = app.poison.entries
    return entry


class Passing(Ticking):
    """A clock on which the time of day passes, too: a breaker counts by it."""

    @property
    def clock(self) -> Clock:
        """This clock as the runtime takes it."""
        return Clock(wall=lambda: NOON + self.now, ticks=self.ticks)


def environments(*functions: Callable[..., Any]) -> list[App]:
    """Environments of one fleet: they share a clock, and the circuit of their downstream."""
    clock, circuits = Passing(), MemoryCircuits()
    downstreams = json.dumps([{"name": "Courier", "breaker": BreakerPolicy().to_settings()}])
    stream = json.dumps({"poison_queue_url": "https://queue", "poison_bucket": "bucket"})
    return [
        App(
            function,
            "records",
            clocked=clock,
            guard=Timed(clock, 60.0),
            circuits=circuits,
            RESILIENT_STREAM=stream,
            RESILIENT_DOWNSTREAMS=downstreams,
        )
        for function in functions
    ]


def test_a_lone_bad_record_is_poison_once_the_breaker_that_sees_all_shards_has_been_silent() -> None:
    """Alone in its batch it fails a dozen times, while another shard's calls keep the circuit closed."""

    def succeed(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            pass

    def fail(order: dict[str, Any], call: Call) -> None:
        other_shard(orders(2, 3))
        with call.downstream("Courier"):
            raise ConnectionError("500")

    other_shard, app = environments(succeed, fail)
    assert returned(app(orders(1))) == []
    assert only(app)["reason"] == SILENCE
    assert only(app)["strikes"] == app.statuses().count("FAILED") >= 12
    assert other_shard.statuses().count("HELD") == 0


def test_a_record_that_fails_by_itself_is_stored_with_its_reason_and_both_attempts() -> None:
    """Twice outside of any call is enough, and is what the entry says."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise ValueError

    app = stream_app(handle)
    app(orders(1))
    assert only(app)["reason"] == "it failed again, alone"
    assert only(app)["strikes"] == 2


def test_each_attempt_of_a_record_that_others_succeed_around_is_counted() -> None:
    """Attempts in which nothing succeeded count, too: the entry tells all that were made."""
    attempts = 0

    def handle(order: dict[str, Any], call: Call) -> None:
        nonlocal attempts
        with call.downstream("Courier"):
            attempts += order["order"] == 2
            if order["order"] == 2 or app.clock.now < 10:
                raise ConnectionError("500")

    app = stream_app(handle)
    assert returned(app(orders(1, 2, 3, 4, 5))) == []
    assert only(app)["reason"] == "it failed twice while others succeeded"
    assert only(app)["strikes"] == attempts > 2


def test_attempts_in_lists_are_counted() -> None:
    """A record that was isolated by halving has as many failed attempts as lists that it was in."""

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        if any(order["order"] == 6 for order in batch):
            raise ValueError

    app = stream_app(handle, per_batch=True)
    app(orders(*range(1, 9)))
    assert only(app)["strikes"] == 4


def test_attempts_of_earlier_invocations_are_counted() -> None:
    """What an environment remembers of a record that comes again is part of its number of attempts."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise ValueError

    app = stream_app(handle)
    app.poison.broken = lambda entry: True
    app(orders(1))
    app.poison.broken = lambda entry: False
    app(orders(1))
    assert only(app)["strikes"] == 3


def test_a_rejected_record_was_tried_once() -> None:
    """What the handler rejects is stored with its one attempt and the handler's reason."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise Reject("no such street")

    app = stream_app(handle)
    app(orders(1))
    assert (only(app)["reason"], only(app)["strikes"]) == ("no such street", 1)


def test_a_good_record_of_a_list_that_failed_by_itself_may_meet_bad_weather_once() -> None:
    """That a list failed says nothing against each of its records, so one more failure is no proof."""
    seen: list[int] = []
    is_first = True

    def handle(batch: list[dict[str, Any]], call: Call) -> None:
        nonlocal is_first
        numbers = [order["order"] for order in batch]
        if 4 in numbers:
            raise ValueError
        with call.downstream("Courier"):
            if numbers == [3] and is_first:
                is_first = False
                raise ConnectionError("503")
        seen.extend(numbers)

    app = stream_app(handle, per_batch=True)
    assert returned(app(orders(*range(1, 9)))) == []
    assert sorted(seen) == [1, 2, 3, 5, 6, 7, 8]
    assert only(app)["partition_key"] == "k4"


@pytest.mark.parametrize("watched", [True, False])
def test_only_a_breaker_that_watches_convicts_a_record_that_is_alone(watched: bool) -> None:
    """The silence of one that could refuse makes poison of what always fails; any other tells nothing."""

    def handle(records: Sequence[int]) -> Outcome:
        return Outcome.WEATHER

    world = ShardWorld(["k"], handle, pauses=40, convinced_after=12, watched=watched)
    given_up: list[int] = []
    StreamMapping(invoke=world.invoke, discard=lambda records, *_: given_up.extend(records)).feed([0])
    if watched:
        assert (world.stored, world.proofs, world.failures, given_up) == ([0], [SILENCE], [13], [])
    else:
        assert (world.stored, given_up) == ([], [0])
