"""A message that fails in its last receive: a dead letter with its reason."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, STANDARD, App, batch_of, delivered, returned, sqs_record
from pretended_watch import World, in_handler
from resilient_runtime import Call, CircuitOpen, DeadlineExceeded, Reject
from resilient_runtime.breaker import CircuitState
from resilient_runtime.last_receive import NEEDS
from resilient_runtime.messages import read
from resilient_runtime.rejection import LABEL, compose
from resilient_runtime.settings import Settings
from resilient_runtime.slow_down import NoTurn
from resilient_runtime.stores import dead_letters as queue

TEN = {"RESILIENT_MAX_RECEIVE_COUNT": "10"}


def failing(body: Any, call: Call) -> None:
    """A handler that never manages."""
    raise LookupError(f"no product {body}")


def of(app: App, status: str) -> list[dict[str, Any]]:
    """The records of this status."""
    return [record for record in app.records if record["status"] == status]


def test_a_message_that_fails_in_its_last_receive_is_stored_with_its_reason() -> None:
    """It is deleted, as it is safe; its label says how often it was tried and what was wrong at last."""
    app = App(failing, **TEN)
    record = sqs_record(17, attributes={"correlation_id": "c-7"}, receive_count=10)
    assert returned(app(batch_of(record))) == []
    ((stored, rejection),) = app.dead_letters.stored
    assert stored is record
    assert (rejection.reason, rejection.error) == ("gave up after 10 receives", "LookupError: no product 17")
    assert (rejection.attempt, rejection.correlation_id) == (10, "c-7")
    assert app.statuses() == ["STARTED", "FAILED"]
    assert app.records[1]["dead_lettered"] is True
    assert "labelled" not in app.records[1]
    assert app.records[1]["Failed"] == 1
    assert app.visibility.delays == []


@pytest.mark.parametrize(("receives", "env"), [(9, TEN), (10, {}), (1000, {})])
def test_before_its_last_receive_it_goes_back(receives: int, env: dict[str, str]) -> None:
    """And so it does where nobody knows which one is the last."""
    app = App(failing, **env)
    assert returned(app(batch_of(sqs_record(receive_count=receives)))) == ["m-1"]
    assert app.dead_letters.stored == []
    assert "dead_lettered" not in app.records[1]
    assert len(app.visibility.delays) == 1


def test_a_message_that_cannot_be_stored_goes_back_to_sqs() -> None:
    """SQS moves it then, without its reason; the record says that, and what to do."""
    app = App(failing, **TEN)
    app.dead_letters.broken = lambda record: True
    assert returned(app(batch_of(sqs_record(receive_count=10)))) == ["m-1"]
    (failed,) = of(app, "FAILED")
    assert "sqs:SendMessage" in failed["remedy"]
    assert "dead_lettered" not in failed
    assert failed["error"].startswith("LookupError")
    (broken,) = of(app, "BROKEN")
    assert (broken["part"], broken["error"]) == ("dead letters", "ConnectionError: no route to SQS")
    assert len(app.visibility.delays) == 1


def test_a_message_stored_without_its_label_is_told() -> None:
    """Where only the record has the reason, the record says so."""
    app = App(failing, **TEN)
    app.dead_letters.labelled = False
    app(batch_of(sqs_record(receive_count=10)))
    assert app.records[1]["labelled"] is False


def test_a_rejection_that_is_not_stored_is_not_tried_again_as_given_up() -> None:
    """The same queue has just not taken it."""
    tries: list[Any] = []

    def handle(body: Any, call: Call) -> None:
        raise Reject("poison")

    def refuse(record: object) -> bool:
        tries.append(record)
        return True

    app = App(handle, **TEN)
    app.dead_letters.broken = refuse
    assert returned(app(batch_of(sqs_record(receive_count=10)))) == ["m-1"]
    assert len(tries) == 1


@pytest.mark.parametrize(
    "put_off", [CircuitOpen("Courier", CircuitState.OPEN, 5.0, "down"), NoTurn("Courier", 60.0)]
)
def test_a_last_receive_whose_second_try_is_put_off_is_given_up_for_the_first(put_off: Exception) -> None:
    """It has failed in this receive, and there will be no other to tell why."""
    errors: list[Exception] = [ConnectionError("no answer"), put_off]

    def handle(body: Any, call: Call) -> None:
        with call.downstream("Courier"):
            raise errors.pop(0)

    paced = '[{"name":"Courier","requests_per_second":1000,"max_concurrency":1}]'
    app = App(handle, RESILIENT_DOWNSTREAMS=paced, **TEN)
    assert returned(app(batch_of(sqs_record(receive_count=10)))) == []
    ((_, rejection),) = app.dead_letters.stored
    assert rejection.error == "ConnectionError: no answer"
    told = [status for status in app.statuses() if status != "CALLED"]
    assert told == ["STARTED", "FAILED", "STARTED", "FAILED"]
    assert [one.get("dead_lettered", False) for one in of(app, "FAILED")] == [False, True]
    assert app.visibility.delays == []


def test_a_message_that_is_put_off_in_its_last_receive_is_not_given_up_here() -> None:
    """It has not failed: nothing was tried, and there is no reason to tell."""

    def handle(body: Any, call: Call) -> None:
        raise CircuitOpen("Courier", CircuitState.OPEN, 5.0, "down")

    app = App(handle, **TEN)
    assert returned(app(batch_of(sqs_record(receive_count=10)))) == ["m-1"]
    assert app.dead_letters.stored == []


def test_its_group_goes_on_in_order() -> None:
    """As it does after SQS has moved a message: what was behind it in a FIFO queue is next."""
    seen: list[Any] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(body)
        if body == "hopeless":
            failing(body, call)

    app = App(handle, **TEN)
    plan = [("a", "hopeless", 10), ("b", "fine", 1), ("c", "hopeless", 9), ("d", "untouched", 1)]
    records = [sqs_record(b, message_id=m, group="g", arn=FIFO, receive_count=n) for m, b, n in plan]
    assert returned(app(batch_of(*records))) == ["c", "d"]
    assert seen == ["hopeless", "fine", "hopeless"]
    assert app.dead_letters.ids == ["a"]


def test_a_handler_that_ends_the_interpreter_stores_nothing() -> None:
    """All of its batch comes back, so a copy that was stored would be one too many."""
    app = App(lambda body, call: sys.exit(3), **TEN)
    with pytest.raises(SystemExit):
        app(batch_of(sqs_record(receive_count=10)))
    assert app.dead_letters.stored == []


def test_secrets_in_the_last_error_do_not_reach_the_queue() -> None:
    """The message is the sender's own; what an exception quotes need not be."""

    def handle(body: Any, call: Call) -> None:
        raise ConnectionError("https://courier.example/?token=c0urier-s3cret-9 did not answer")

    app = App(handle, **TEN)
    app(batch_of(sqs_record(receive_count=10)))
    ((_, rejection),) = app.dead_letters.stored
    assert "courier.example" in str(rejection.error)
    assert "s3cret" not in str(rejection.error)


def test_what_was_given_up_and_sent_back_is_the_same_work() -> None:
    """Its correlation id and its idempotency key are as they were, which SQS's own redrive does not keep."""
    app = App(failing, **TEN)
    record = sqs_record("{}", receive_count=10)
    app(batch_of(record))
    ((_, rejection),) = app.dead_letters.stored
    arguments, labelled = compose(record, rejection, queue_url="https://sqs/1/dead")
    again = read(delivered(arguments, message_id="m-2"))
    assert labelled
    assert json.loads(arguments["MessageAttributes"][LABEL]["StringValue"])["attempt"] == 10
    assert (again.idempotency_key, again.correlation_id, again.attempt) == ("m-1", "m-1", 1)


class Hanging:
    """A consumer whose handler hangs, in a world whose time is the test's."""

    aws_request_id = "request"

    def __init__(self, margin: float) -> None:
        self.world = World()
        self.get_remaining_time_in_millis = self.world.remaining
        self.app = App(
            self.hang,
            guard=self.world.deadline,
            clocked=self.world,  # type: ignore[arg-type]
            **TEN,
        )
        self.late = margin

    def hang(self, body: Any, call: Call) -> None:
        """Until it is interrupted, and some more."""
        try:
            while True:
                self.world.move(0.05)
                self.world.signal(in_handler())
        except DeadlineExceeded:
            while self.world.ends - self.world.now > self.late:
                self.world.move(0.05)
            raise

    def invoke(self) -> list[str]:
        """Ten seconds for one message in its last receive."""
        self.world.ends = self.world.now + 10
        return returned(self.app(batch_of(sqs_record(receive_count=10)), self))


@pytest.mark.parametrize(("left", "back"), [(NEEDS + 0.2, []), (NEEDS - 0.2, ["m-1"])])
def test_a_message_whose_handler_hangs_is_stored_if_there_is_time(left: float, back: list[str]) -> None:
    """Else it goes back, for an invocation that is killed would take back all that its batch completed."""
    hanging = Hanging(left)
    assert hanging.invoke() == back
    assert hanging.app.dead_letters.ids == [one for one in ["m-1"] if one not in back]
    assert of(hanging.app, "FAILED")[0]["error"].startswith("DeadlineExceeded")


def test_two_tries_of_the_last_receive_give_up_once() -> None:
    """A message that failed by its downstream, in its turn, is tried twice before it is a dead letter."""
    tries: list[str] = []

    def handle(body: Any, call: Call) -> None:
        tries.append(str(body))
        with call.downstream("Courier"):
            if body == "hopeless" or len(tries) == 1:
                raise ConnectionError("no answer")

    paced = '[{"name":"Courier","requests_per_second":1000,"max_concurrency":1}]'
    app = App(handle, RESILIENT_DOWNSTREAMS=paced, **TEN)
    lucky, hopeless = (sqs_record(one, message_id=one, receive_count=10) for one in ("unlucky", "hopeless"))
    assert returned(app(batch_of(lucky, hopeless))) == []
    assert tries == ["unlucky", "unlucky", "hopeless", "hopeless"]
    assert app.dead_letters.ids == ["hopeless"]
    assert [one.get("dead_lettered") for one in of(app, "FAILED")] == [None, None, True]
    assert app.visibility.delays == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "fail", "reject"]), st.integers(1, 3), st.sampled_from("ab")),
        max_size=10,
    ),
    st.booleans(),
    st.booleans(),
)
def test_every_message_has_exactly_one_fate(
    plan: list[tuple[str, int, str]], fifo: bool, broken: bool
) -> None:
    """Completed, stored or returned, whatever the receives; nothing is returned that had none left."""

    def handle(body: Any, call: Call) -> None:
        if body == "fail":
            raise ValueError(body)
        if body == "reject":
            raise Reject(body)
        completed.append(str(call.message_id))

    completed: list[str] = []
    app = App(handle, RESILIENT_MAX_RECEIVE_COUNT="3")
    app.dead_letters.broken = lambda record: broken
    records = [
        sqs_record(body, message_id=f"{n}", group=g, receive_count=r, arn=FIFO if fifo else STANDARD)
        for n, (body, r, g) in enumerate(plan)
    ]
    back = returned(app(batch_of(*records)))
    ids = [one["messageId"] for one in records]
    assert sorted([*back, *completed, *app.dead_letters.ids], key=int) == ids
    begun = {one["message_id"] for one in of(app, "STARTED")}
    if not broken:
        assert not [one for one in back if plan[int(one)][1] == 3 and one in begun]


def test_the_client_for_a_hurry_is_made_before_the_handler_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Importing it when the deadline has passed would take longer than there is."""
    made: list[str] = []

    class Client:
        def send_message(self, **arguments: Any) -> dict[str, str]:
            return {"MessageId": "stored"}

    def hurry() -> Client:
        made.append("hurried")
        return Client()

    monkeypatch.setattr(queue, "hurried_client", hurry)
    monkeypatch.setattr(queue, "sqs_client", Client)
    kept = queue.DeadLetterQueue("https://sqs/1/dead")
    hurried = kept.hurried()
    assert made == []
    assert (hurried.url, hurried.connect() is hurried.connect(), made) == (kept.url, True, ["hurried"])


def test_no_receive_count_is_in_no_variable() -> None:
    """What nobody knows is not told."""
    assert "RESILIENT_MAX_RECEIVE_COUNT" not in Settings(handler="app.deliver").to_env()
