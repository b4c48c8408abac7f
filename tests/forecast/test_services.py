from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest
from resilient_runtime.breaker import Circuit, CircuitState
from world import consumer, failing, taking

from resilient_constructs.forecast.asynchronous import AsynchronousInvocation
from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.functions import Function, Scripted, Working
from resilient_constructs.forecast.paused_source import PausedSource
from resilient_constructs.forecast.sqs import Message, Queue


def test_a_message_that_is_received_stays_invisible_for_its_time() -> None:
    """It comes back when its visibility ends, unless it was deleted."""
    with Engine() as engine:
        queue = Queue(engine, visibility=30)
        queue.send()
        queue.send()
        kept, deleted = queue.receive(10)
        queue.delete(deleted)
        engine.run(until=29)
        assert queue.receive(10) == []
        engine.run(until=30)
        assert queue.receive(10) == [kept]
        assert (kept.receives, queue.max_receives, queue.unfinished) == (2, 2, 1)


def test_a_changed_visibility_replaces_the_one_before() -> None:
    """ChangeMessageVisibility shortens and lengthens, and the message comes back once."""
    with Engine() as engine:
        queue = Queue(engine, visibility=30)
        for _ in range(2):
            queue.send()
        sooner, later = queue.receive(10)
        queue.hide(sooner, 5)
        queue.hide(later, 50)
        engine.run(until=6)
        assert queue.receive(10) == [sooner]
        engine.run(until=100)
        assert queue.receive(10) == [sooner, later]


def test_a_message_that_was_received_too_often_is_a_dead_letter_at_its_next_receive() -> None:
    """After three receives it goes to the dead-letter queue when the fourth would come."""
    with Engine() as engine:
        work = consumer(engine, failing, visibility=10, max_receive_count=3)
        work.queue.send()
        engine.run()
        (dead,) = work.queue.dead_letters
        assert (dead.receives, work.function.invocations, work.queue.unfinished) == (3, 3, 0)
        assert engine.now == pytest.approx(30 + 3 * 0.02, abs=0.1)


def test_no_more_invocations_than_the_maximum_run_at_once() -> None:
    """A backlog of a hundred is worked off four at a time."""
    with Engine() as engine:
        work = consumer(engine, taking(1.0), max_concurrency=4)
        for _ in range(100):
            work.queue.send()
        engine.run()
        assert work.function.concurrency is not None
        assert max(work.function.concurrency.most()) == 4
        assert (work.queue.deleted, work.function.environments) == (100, 4)
        assert work.queue.last_deleted_at == pytest.approx(25 * 1.02 + 0.4, abs=0.1)


def test_a_mapping_grows_by_three_hundred_a_minute() -> None:
    """It begins with five batches at once and adds five a second while there is a backlog."""
    with Engine() as engine:
        work = consumer(engine, taking(25.0), max_concurrency=100)
        for _ in range(200):
            work.queue.send()
        engine.run(until=0.1)
        assert work.mapping.running == 5
        engine.run(until=10.1)
        assert work.mapping.running == 55


def test_only_what_a_partial_batch_response_names_comes_back() -> None:
    """The other messages of its batch are deleted."""

    def odd_ones_fail(batch: Sequence[Message]) -> Generator[float, None, set[int]]:
        yield 1.0
        return {message.number for message in batch if message.number % 2 and message.receives == 1}

    with Engine() as engine:
        work = consumer(engine, odd_ones_fail)
        work.mapping.batch_size = 10
        for _ in range(10):
            engine.at(0.0, work.queue.send)
        engine.run()
        assert (work.queue.deleted, work.queue.max_receives) == (10, 2)


def test_an_invocation_ends_at_its_timeout() -> None:
    """It fails then, and its error carries the minute in which it began."""
    with Engine() as engine:
        function = Function(engine, lambda: Scripted(engine, taking(100), timeout=29), cold_start=0)
        ended: list[float] = []
        engine.at(59, lambda: function.invoke(None, lambda result: ended.append(engine.now)))
        engine.run()
        assert ended == [88]
        assert function.success_by_minute() == {0: 0.0}
        assert function.busy_seconds == 29


def test_an_environment_that_is_free_is_used_again() -> None:
    """The last one first, and only when all are busy a new one is made."""
    with Engine() as engine:
        function = Function(engine, lambda: Scripted(engine, taking(1)))
        for moment in (0, 0.1, 10, 20, 30):
            engine.at(moment, lambda: function.invoke(None, lambda result: None))
        engine.run()
        assert (function.invocations, function.environments) == (5, 2)


def test_real_code_runs_in_an_environment() -> None:
    """A plain function that sleeps takes that time, and its result is handed on."""
    with Engine() as engine:

        def handler(event: object) -> object:
            engine.sleep(3)
            return event

        results: list[tuple[object, float]] = []
        function = Function(engine, lambda: Working(engine, handler), cold_start=0.5)
        for name in ("a", "b"):
            function.invoke(name, lambda result: results.append((result, engine.now)))
        engine.run()
        assert results == [("a", 3.5), ("b", 3.5)]


def test_an_event_that_fails_is_invoked_twice_more() -> None:
    """After one minute and after two more; then it is dropped."""
    with Engine() as engine:
        function = Function(engine, lambda: Scripted(engine, failing), cold_start=0)
        queue = AsynchronousInvocation(engine, function)
        queue.send("event")
        engine.run()
        assert (function.invocations, queue.dropped, queue.delivered) == (3, 1, 0)
        assert engine.now == 183


def test_a_mapping_that_is_disabled_receives_nothing_and_begins_anew() -> None:
    """What runs ends; enabled at two it runs two, and back at ten it grows as a new one does."""
    with Engine() as engine:
        work = consumer(engine, taking(25.0), max_concurrency=100)
        for _ in range(500):
            work.queue.send()
        engine.run(until=10.1)
        assert work.mapping.running == 55
        work.mapping.change(0)
        engine.run(until=40)
        assert (work.mapping.running, work.queue.deleted) == (0, 55)

        work.mapping.change(2)
        engine.run(until=41)
        assert work.mapping.running == 2

        work.mapping.change(100)
        engine.run(until=43.1)
        assert 2 < work.mapping.running <= 2 + 3 * 5


def test_a_mapping_that_is_held_to_fewer_ends_none_of_what_runs() -> None:
    """The next batches wait until there is room below the new maximum."""
    with Engine() as engine:
        work = consumer(engine, taking(10.0), max_concurrency=5)
        for _ in range(20):
            work.queue.send()
        engine.run(until=1)
        work.mapping.change(2)
        assert work.mapping.running == 5
        engine.run(until=15)
        assert (work.mapping.running, work.queue.deleted) == (2, 5)
        engine.run()
        assert work.queue.deleted == 20


def test_a_paused_source_follows_its_circuit_and_each_change_takes_its_time() -> None:
    """Disabled when it opens, two at a time for the probe, as configured when it closes, one by one."""
    with Engine() as engine:
        work = consumer(engine, taking(1.0), max_concurrency=50)
        source = PausedSource(engine, "Courier", seconds=15)
        source.feed(work.mapping)
        wall = engine.clock.wall()
        opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=wall + 110)
        half = Circuit(state=CircuitState.HALF_OPEN, version=2)
        closed = Circuit(version=3)
        engine.at(10, lambda: source.change("Courier", opened, before=Circuit()))
        engine.at(126, lambda: source.change("Courier", half, before=opened))
        engine.at(127, lambda: source.change("Courier", closed, before=half))
        engine.run()
        assert source.changes == [
            (25, ("Disabled", 50, None)),
            (125, ("Enabled", 2, None)),
            (142, ("Enabled", 50, None)),
        ]
        assert work.mapping.max_concurrency == 50
