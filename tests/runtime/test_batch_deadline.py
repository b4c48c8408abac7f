"""A batch whose time runs out: what is completed, what goes back, and that nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, App, batch_of, returned, sqs_record
from pretended_watch import World, in_handler
from resilient_runtime import Call, DeadlineExceeded, Reject


class _Context:
    """Lambda's context in a world whose time is the test's."""

    aws_request_id = "request"

    def __init__(self, world: World) -> None:
        self.get_remaining_time_in_millis = world.remaining


class _Consumer:
    """A consumer of a queue, whose handler takes as long as a message says."""

    def __init__(self, handle: Callable[[Any, Call], Any] | None = None) -> None:
        self.world = World()
        self.done: list[str | None] = []
        self.begun: list[str | None] = []
        self.app = App(
            handle or self._take,
            guard=self.world.deadline,
            clocked=self.world,  # type: ignore[arg-type]
            RESILIENT_DOWNSTREAMS='[{"name":"Courier"}]',
        )

    def invoke(self, records: list[dict[str, Any]], seconds: float) -> list[str]:
        self.world.ends = self.world.now + seconds
        return returned(self.app(batch_of(*records), _Context(self.world)))

    def wait(self, seconds: float) -> None:
        """Time passes in small steps, and Lambda's kill ends the test."""
        ends = self.world.now + seconds
        while self.world.now < ends:
            self.world.move(min(0.05, ends - self.world.now))
            assert self.world.now < self.world.ends, "killed"
            self.world.signal(in_handler())

    def _take(self, body: dict[str, Any], call: Call) -> None:
        self.begun.append(call.message_id)
        with call.downstream("Courier", timeout=body.get("timeout")):
            self.wait(body["seconds"])
        if body.get("fails"):
            raise ValueError("no")
        if body.get("rejected"):
            raise Reject("never")
        self.done.append(call.message_id)


_BODY = st.fixed_dictionaries(
    {"seconds": st.floats(0, 8), "timeout": st.none() | st.floats(0.1, 20)},
    optional={"fails": st.booleans(), "rejected": st.booleans()},
)


@given(st.lists(_BODY, max_size=10), st.lists(_BODY, max_size=10), st.floats(1, 30), st.booleans())
def test_every_message_is_completed_or_stored_or_returned(
    first: list[dict[str, Any]], second: list[dict[str, Any]], seconds: float, fifo: bool
) -> None:
    """However long messages take, none is lost, none is begun twice, and Lambda never has to kill."""
    consumer = _Consumer()
    for number, bodies in enumerate((first, second)):
        consumer.begun.clear()
        consumer.done.clear()
        stored_before = len(consumer.app.dead_letters.ids)
        ids = [f"{number}-{index}" for index in range(len(bodies))]
        more: dict[str, Any] = {"arn": FIFO, "group": "g"} if fifo else {}
        back = consumer.invoke(
            [sqs_record(body, message_id=one, **more) for one, body in zip(ids, bodies, strict=True)], seconds
        )
        kept = [*consumer.done, *consumer.app.dead_letters.ids[stored_before:]]
        assert sorted([*kept, *back]) == sorted(ids)
        assert len(set(consumer.begun)) == len(consumer.begun)
        if fifo and back:
            assert back == ids[ids.index(back[0]) :], "what follows in the group returns with it"


def test_a_message_is_not_begun_when_there_is_no_time_for_it() -> None:
    """Ten messages of 0.31 s with 2 s to do them: five are completed, five return and say why."""
    consumer = _Consumer()
    back = consumer.invoke([sqs_record({"seconds": 0.31}, message_id=f"m-{n}") for n in range(10)], 2)
    assert back == [f"m-{n}" for n in range(5, 10)]
    assert len(consumer.begun) == len(consumer.done) == 5
    held = [one for one in consumer.app.records if one["status"] == "HELD"]
    assert [one["message_id"] for one in held] == back
    assert "0.45 s are left" in held[0]["reason"]


def test_a_message_that_takes_all_the_time_does_not_stop_the_queue_for_ever() -> None:
    """After a message that used up its invocation, the first of the next batch is begun all the same."""
    consumer = _Consumer()
    assert consumer.invoke([sqs_record({"seconds": 9}, message_id="slow")], 3) == ["slow"]
    assert consumer.invoke([sqs_record({"seconds": 0.1}, message_id="quick")], 3) == []


def test_an_interruption_inside_a_task_group_returns_one_message() -> None:
    """The group that asyncio.TaskGroup makes of an interruption does not take the whole batch back."""

    def handle(body: dict[str, Any], call: Call) -> None:
        try:
            consumer.wait(body["seconds"])
        except DeadlineExceeded as error:
            raise BaseExceptionGroup("unhandled errors in a TaskGroup", [error]) from None

    consumer = _Consumer(handle)
    back = consumer.invoke(
        [sqs_record({"seconds": seconds}, message_id=f"m-{n}") for n, seconds in enumerate((0, 9, 0))], 3
    )
    assert back == ["m-1", "m-2"]
    assert consumer.app.statuses().count("COMPLETED") == 1


def test_a_dead_letter_queue_that_hangs_costs_one_message() -> None:
    """Storing a rejected message is interrupted too: it returns, and what was completed stays completed."""
    consumer = _Consumer()

    def hang(record: Any) -> bool:
        consumer.wait(9)
        return False

    consumer.app.dead_letters.broken = hang
    back = consumer.invoke(
        [
            sqs_record({"seconds": 0.1}, message_id="m-0"),
            sqs_record({"seconds": 0.1, "rejected": True}, message_id="m-1"),
        ],
        3,
    )
    assert back == ["m-1"]
    assert consumer.done == ["m-0"]
    (failed,) = [one for one in consumer.app.records if one["status"] == "FAILED"]
    assert failed["reason"] == "never"
    assert "dead-letter queue did not take it" in failed["remedy"]


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
def test_the_end_of_the_process_is_no_deadline(ending: type[BaseException]) -> None:
    """``sys.exit`` in a handler still ends the process and returns the whole batch, deadline or not."""

    def handle(body: dict[str, Any], call: Call) -> None:
        raise ending

    consumer = _Consumer(handle)
    with pytest.raises(ending):
        consumer.invoke([sqs_record({})], 3)
    assert consumer.world.watchdog.current is None
