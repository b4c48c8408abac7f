from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, NOON, App, Context, batch_of, bridge_event, returned, sqs_record
from resilient_runtime import Call, Reject, current_call, current_correlation_id


def test_each_message_reaches_the_handler_with_its_parsed_body() -> None:
    """A handler sees one message at a time, its JSON already parsed."""
    seen: list[Any] = []
    app = App(lambda body, call: seen.append(body))
    response = app(batch_of(sqs_record({"order": 1}), sqs_record([2], message_id="m-2")))
    assert seen == [{"order": 1}, [2]]
    assert response == {"batchItemFailures": []}


@pytest.mark.parametrize("body", ["no json", "{", "", '{"a":', "[" * 100_000, "9" * 5000])
def test_a_body_that_is_not_json_reaches_the_handler_as_it_is(body: str) -> None:
    """What cannot be parsed is handed over as the string it is, however hostile."""
    seen: list[Any] = []
    assert returned(App(lambda body, call: seen.append(body))(batch_of(sqs_record(body)))) == []
    assert seen == [body]


def test_the_data_that_an_api_accepted_is_unwrapped() -> None:
    """Of an event that a storage-first API put on a bus, the handler gets the client's own body."""
    seen: list[Any] = []
    event = bridge_event({"metadata": {"correlation_id": "c-1", "accepted_at_ms": 1}, "data": {"order": 1}})
    App(lambda body, call: seen.append((body, call.event, call.correlation_id)))(batch_of(sqs_record(event)))
    assert seen == [({"order": 1}, event, "c-1")]


@pytest.mark.parametrize(
    "detail",
    [
        {"order": 1},
        {"metadata": {"author": "me"}, "data": 1},
        {"metadata": {"correlation_id": "c"}},
        "text",
        None,
    ],
)
def test_any_other_event_hands_over_its_detail(detail: object) -> None:
    """Nobody's own detail is taken apart, not even one that has metadata and data."""
    seen: list[Any] = []
    App(lambda body, call: seen.append(body))(batch_of(sqs_record(bridge_event(detail))))
    assert seen == [detail]


def test_the_call_says_what_is_known_of_the_delivery() -> None:
    """The call carries ids, attempt, attributes and the time left."""
    seen: list[Call] = []
    app = App(lambda body, call: seen.append(call))
    app(batch_of(sqs_record(attributes={"kind": "gift", "raw": b"\x00\xff"}, receive_count=3)), Context(1234))
    (call,) = seen
    assert (call.message_id, call.idempotency_key, call.correlation_id) == ("m-1", "m-1", "m-1")
    assert (call.attempt, call.attributes) == (3, {"kind": "gift", "raw": b"\x00\xff"})
    assert call.remaining_ms() == 1234
    assert call.request_id == Context.aws_request_id


def test_nested_code_knows_the_call_only_while_it_runs() -> None:
    """The current call and its id are there inside the handler and gone after it, failure or not."""
    seen: list[object] = []

    def handle(body: Any, call: Call) -> None:
        seen.append((current_correlation_id(), current_call() is call))
        raise ValueError

    App(handle)(batch_of(sqs_record(attributes={"correlation_id": "c-9"})))
    assert seen == [("c-9", True)]
    assert (current_call(), current_correlation_id()) == (None, None)


def test_only_what_failed_goes_back() -> None:
    """An exception returns its own message and no other."""

    def handle(body: Any, call: Call) -> None:
        if body == 2:
            raise ValueError("the courier is down")

    app = App(handle)
    response = app(batch_of(*(sqs_record(n, message_id=f"m-{n}") for n in (1, 2, 3))))
    assert returned(response) == ["m-2"]
    assert app.statuses() == ["STARTED", "COMPLETED", "STARTED", "FAILED", "STARTED", "COMPLETED"]
    failed = app.records[3]
    assert failed["error"] == "ValueError: the courier is down"
    assert "in handle" in failed["stack"]
    assert "resilient_runtime" not in failed["stack"]


def test_a_rejected_message_is_stored_whole_before_it_is_reported_done() -> None:
    """A rejection goes to the dead-letter queue with its reason, its cause and its story."""

    def handle(body: Any, call: Call) -> None:
        try:
            int("x")
        except ValueError as error:
            raise Reject("no such address") from error

    app = App(handle)
    record = sqs_record("{}", attributes={"correlation_id": "c-7"}, receive_count=2)
    assert returned(app(batch_of(record))) == []
    ((stored, rejection),) = app.dead_letters.stored
    assert stored is record
    assert rejection.reason == "no such address"
    assert rejection.error == "ValueError: invalid literal for int() with base 10: 'x'"
    assert (rejection.correlation_id, rejection.attempt, rejection.function_name) == (
        "c-7",
        2,
        "Delivery-1A2B",
    )
    assert rejection.rejected_at == "2027-01-15T08:00:00.250Z"
    assert NOON == 1_800_000_000.25
    assert app.statuses() == ["STARTED", "REJECTED"]
    assert app.records[1]["reason"] == "no such address"
    assert "labelled" not in app.records[1]


def test_a_rejected_message_that_cannot_be_stored_goes_back() -> None:
    """When the dead-letter queue refuses, the message returns, and a record says what to do."""

    def handle(body: Any, call: Call) -> None:
        raise Reject("poison")

    app = App(handle)
    app.dead_letters.broken = lambda record: True
    assert returned(app(batch_of(sqs_record()))) == ["m-1"]
    failed = app.records[1]
    assert (failed["status"], failed["reason"]) == ("FAILED", "poison")
    assert failed["error"] == "ConnectionError: no route to SQS"
    assert "sqs:SendMessage" in failed["remedy"]


def test_a_message_stored_without_its_label_is_told() -> None:
    """Where only the record has the reason, the record says so."""

    def handle(body: Any, call: Call) -> None:
        raise Reject("poison")

    app = App(handle)
    app.dead_letters.labelled = False
    app(batch_of(sqs_record()))
    assert app.records[1]["labelled"] is False


def test_a_fifo_group_stops_at_its_first_failure() -> None:
    """After a failure the rest of the group goes back untouched and in order; other groups go on."""
    seen: list[str] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(str(call.message_id))
        if body == "fail":
            raise ValueError

    app = App(handle)
    plan = [("a1", "a", "ok"), ("a2", "a", "fail"), ("b1", "b", "ok"), ("a3", "a", "ok"), ("b2", "b", "ok")]
    response = app(batch_of(*(sqs_record(body, message_id=m, group=g, arn=FIFO) for m, g, body in plan)))
    assert returned(response) == ["a2", "a3"]
    assert seen == ["a1", "a2", "b1", "b2"]
    (held,) = [record for record in app.records if record["status"] == "HELD"]
    assert (held["message_id"], held["message_group"]) == ("a3", "a")
    assert "_aws" not in held


def test_a_rejected_message_does_not_stop_its_group() -> None:
    """Once poison is stored, its FIFO group goes on."""

    def handle(body: Any, call: Call) -> None:
        if body == "poison":
            raise Reject("poison")

    app = App(handle)
    records = [sqs_record(b, message_id=b, group="a", arn=FIFO) for b in ("poison", "next")]
    assert returned(app(batch_of(*records))) == []
    assert app.dead_letters.ids == ["poison"]


def test_a_fair_queue_is_no_fifo_queue() -> None:
    """Message groups on a standard queue promise no order, so a failure holds nobody back."""
    seen: list[str] = []

    def handle(body: Any, call: Call) -> None:
        seen.append(body)
        raise ValueError

    app = App(handle)
    app(batch_of(*(sqs_record(b, message_id=b, group="tenant") for b in ("one", "two"))))
    assert seen == ["one", "two"]


@pytest.mark.parametrize("event", [{}, {"Records": None}, [], "text", None, {"Records": [{"body": "{}"}]}])
def test_what_is_no_batch_is_refused_as_a_whole(event: object) -> None:
    """An event whose messages cannot be named raises, so that all of it goes back."""
    app = App(lambda body, call: None)
    with pytest.raises(ValueError, match="RESILIENT_MODE is 'messages'"):
        app(event)
    assert app.statuses() == ["STARTED", "FAILED"]
    assert "event" in app.records[1]


def test_a_batch_with_one_nameless_message_is_refused_before_any_is_touched() -> None:
    """Nothing is handled when something in the batch could not be returned."""
    seen: list[Any] = []
    with pytest.raises(ValueError, match="no SQS record"):
        App(lambda body, call: seen.append(body))(batch_of(sqs_record(), {"body": "{}"}))
    assert seen == []


def test_a_record_that_cannot_be_read_goes_back() -> None:
    """A record that is broken beyond reading is returned and counted, and the others are handled."""
    broken = sqs_record(message_id="broken") | {"body": ["no", "string"]}
    app = App(lambda body, call: None)
    assert returned(app(batch_of(broken, sqs_record()))) == ["broken"]
    assert app.statuses() == ["STARTED", "FAILED", "STARTED", "COMPLETED"]


def test_work_that_was_never_begun_is_not_taken_for_done() -> None:
    """A handler that returns a coroutine, a generator or a task did nothing; its message goes back."""

    async def work() -> None: ...

    def count() -> Any:
        yield 1

    app = App(lambda body, call: work() if body == 1 else count())
    response = app(batch_of(sqs_record(1), sqs_record(2, message_id="m-2")))
    assert returned(response) == ["m-1", "m-2"]
    assert "asyncio.run()" in app.records[1]["error"]


def test_an_exiting_handler_takes_the_whole_batch_back() -> None:
    """sys.exit in a handler ends the environment as it would without us, with a record of why."""
    app = App(lambda body, call: sys.exit(3))
    with pytest.raises(SystemExit):
        app(batch_of(sqs_record()))
    assert app.records[-1]["error"] == "SystemExit: 3"
    assert current_call() is None


def test_a_reject_that_forgot_its_reason_is_still_a_rejection() -> None:
    """A subclass that does not call its base keeps working."""

    class Refused(Reject):
        def __init__(self) -> None: ...

    def handle(body: Any, call: Call) -> None:
        raise Refused

    app = App(handle)
    assert returned(app(batch_of(sqs_record()))) == []
    assert app.dead_letters.ids == ["m-1"]


OUTCOMES = st.sampled_from(["ok", "fail", "reject", "reject, not stored"])
GROUPS = st.sampled_from(["a", "b", "c"])


def run_plan(plan: list[tuple[str, str]], *, arn: str, broken_lines: set[int]) -> None:
    """Run a batch of (outcome, group) messages and hold it against the promise."""
    begun: list[str] = []
    completed: list[str] = []

    def handle(body: Any, call: Call) -> None:
        assert call.message_id
        begun.append(call.message_id)
        if body == "fail":
            raise ValueError(body)
        if body != "ok":
            raise Reject(body)
        completed.append(call.message_id)

    app = App(handle)
    app.dead_letters.broken = lambda record: record["body"].endswith("stored")
    app.broken_lines = broken_lines
    records = [
        sqs_record(outcome, message_id=f"{index}", group=group, arn=arn)
        for index, (outcome, group) in enumerate(plan)
    ]
    back = returned(app(batch_of(*records)))
    stored = app.dead_letters.ids

    assert len(set(back)) == len(back)
    ids = [record["messageId"] for record in records]
    for one in ids:
        assert one in back or one in completed or one in stored, "lost"
    if not broken_lines:
        assert sorted(ids, key=int) == sorted([*back, *completed, *stored], key=int), "exactly one fate each"
        counted = [s for s in app.statuses() if s != "HELD"]
        assert counted.count("STARTED") == len(begun) == len(counted) / 2
    if arn == FIFO:
        for group in "abc":
            mine = [one for one, (_, its) in zip(ids, plan, strict=True) if its == group]
            first = next((i for i, one in enumerate(mine) if one in back), len(mine))
            assert [one for one in back if one in mine] == mine[first:], "the rest of the group, in order"
            assert not set(mine[first + 1 :]) & set(begun), "untouched"


@given(st.lists(st.tuples(OUTCOMES, GROUPS), max_size=12), st.booleans())
def test_every_message_has_exactly_one_fate(plan: list[tuple[str, str]], fifo: bool) -> None:
    """Whatever the mix, each message is either completed, or stored and then deleted, or returned."""
    run_plan(plan, arn=FIFO if fifo else FIFO.removesuffix(".fifo"), broken_lines=set())


@given(
    st.lists(st.tuples(OUTCOMES, GROUPS), max_size=8), st.booleans(), st.sets(st.integers(1, 16), min_size=1)
)
def test_an_error_of_our_own_loses_nothing(
    plan: list[tuple[str, str]], fifo: bool, broken_lines: set[int]
) -> None:
    """Whichever step of ours raises, no message is deleted that was neither completed nor stored."""
    run_plan(plan, arn=FIFO if fifo else FIFO.removesuffix(".fifo"), broken_lines=broken_lines)
