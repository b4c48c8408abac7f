"""What a message asks to be started, and the name of its execution."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import sqs_record
from resilient_runtime.call import Call
from resilient_runtime.deliveries import read_into
from resilient_runtime.reject import Reject
from resilient_runtime.work_envelope import (
    LARGEST_INPUT,
    Work,
    as_text,
    begun_anew,
    envelope_of,
    execution_name,
    is_too_large,
    work_of,
    wrapped,
)

CALL = Call(idempotency_key="order-7", message_id="m-1")
GIVEN_UP = {
    "input": {"page": 3},
    "error": "Unreadable",
    "cause": "no page",
    "execution": "arn:aws:states:eu-west-1:111122223333:execution:Pages:order-7",
    "attempts": 5,
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_every_name_is_valid_and_its_own(one: str, other: str) -> None:
    """Whatever the key is made of, the name is 1 to 80 of the characters that logs take, and no other's."""
    name = execution_name(one)
    assert re.fullmatch("[0-9A-Za-z_-]{1,80}", name)
    assert (execution_name(other) == name) == (one == other)


def test_a_valid_key_is_the_name() -> None:
    """An operator finds the execution by the key; of a key that is no name, by its beginning."""
    assert execution_name("order-7") == "order-7"
    assert execution_name("order.7").startswith("order-7-")
    assert execution_name("x" * 81).startswith("x" * 39 + "-")


def test_a_new_work_is_named_by_its_key() -> None:
    """The input is the message's body, without an envelope."""
    work = work_of({"page": 3}, CALL)
    assert work == Work("order-7", {"page": 3}, {})
    assert wrapped(work) == {"page": 3}


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"name": "order-1", "parked": 1}, "order-1-p1"),
        ({"name": "order-1", "parked": 12}, "order-1-p12"),
        ({"name": "order-1"}, "order-1"),
        ({"name": "order-1", "parked": "1"}, "order-1"),
        ({"name": "order-1", "parked": True}, "order-1"),
        ({"name": 7, "parked": 1}, "order-7"),
        ({}, "order-7"),
    ],
)
def test_a_parked_work_is_named_by_its_resumption(about: dict[str, Any], name: str) -> None:
    """Its envelope goes into the next execution as it came."""
    body = {"resilient": about, "input": {"page": 3}}
    work = work_of(body, CALL)
    assert work.name == name
    assert wrapped(work) == (body if about else {"page": 3})


def test_a_name_that_is_none_is_no_key_either() -> None:
    """Whoever is told the key gets one that headers, logs and our own runtime take; it stays the same."""
    about = {"name": "Nightly-2026-11-21T06:00:00Z"}
    first = work_of({"resilient": about, "input": 1}, CALL)
    assert first.about == {**about, "key": first.name}
    parked = work_of({"resilient": {**first.about, "parked": 1}, "input": 1}, CALL)
    assert parked.about["key"] == first.name != parked.name


def failed(execution: str) -> dict[str, Any]:
    """The dead letter of another execution."""
    return {**GIVEN_UP, "execution": f"arn:aws:states:eu-west-1:111122223333:execution:Pages:{execution}"}


def test_the_same_dead_letter_is_one_work_and_another_is_another() -> None:
    """A dead letter that was moved back is started anew, once for what failed, and not for each message."""
    again = work_of(GIVEN_UP, CALL)
    assert again == Work("order-7-again", {"page": 3}, {"key": "order-7"})
    assert work_of(GIVEN_UP, Call(message_id="m-2")) == again
    assert work_of(failed("order-8"), CALL).name == "order-8-again"
    assert work_of(failed("order-7-again"), CALL).name == "order-7-again-again"


def test_a_work_that_fails_over_and_over_has_a_name_each_time() -> None:
    """However long it becomes; and its key is the first of them."""
    names = [CALL.idempotency_key]
    key: object = None
    for _ in range(20):
        letter = {**failed(names[-1]), "resilient": {"name": names[-1], **({"key": key} if key else {})}}
        again = work_of(letter, CALL)
        names.append(again.name)
        key = again.about["key"]
    assert len(set(names)) == 21
    assert all(re.fullmatch("[0-9A-Za-z_-]{1,80}", name) for name in names)
    assert key == "order-7"


def test_each_item_of_a_batch_is_a_work_of_its_own() -> None:
    """All of them failed in one execution; each letter is one item again, in its place."""
    item = {"resilient": {"name": "night-3", "item": {"index": 3}}, "input": "a"}
    letter = {**failed("night"), "index": 3, "input": item, "resilient": {"name": "night-3"}}
    again = work_of(letter, CALL)
    assert (again.name, again.input, again.about) == ("night-again-3", item, {"key": "night-3"})
    assert work_of({**letter, "index": 4}, CALL).name == "night-again-4"


def test_the_dead_letter_of_a_claimed_work_still_claims() -> None:
    """What was too large for an execution is not in the dead letter either."""
    claim = {"bucket": "kept", "key": "work/1.json", "size": 300_000}
    letter = {
        **GIVEN_UP,
        "input": None,
        "resilient": {"name": "order-7-again", "key": "order-7", "claim": claim},
    }
    assert wrapped(work_of(letter, CALL)) == {
        "resilient": {"key": "order-7", "claim": claim},
        "input": None,
    }


def test_an_express_executions_dead_letter_has_the_name_too() -> None:
    """Its ARN goes on after the name."""
    letter = {**GIVEN_UP, "execution": "arn:aws:states:eu-west-1:1:express:Pages:order-7:6c3b-1"}
    assert work_of(letter, CALL).name == "order-7-again"


MACHINE = "arn:aws:states:eu-west-1:111122223333:stateMachine:Pages"
TIMED_OUT: dict[str, Any] = {
    "source": "aws.states",
    "detail-type": "Step Functions Execution Status Change",
    "detail": {
        "executionArn": "arn:aws:states:eu-west-1:111122223333:execution:Pages:order-7",
        "stateMachineArn": MACHINE,
        "name": "order-7",
        "status": "TIMED_OUT",
        "input": '{"page": 3}',
        "inputDetails": {"included": True},
    },
}


def delivered(body: object, *, machine: str | None = MACHINE, message_id: str = "m-1") -> Work:
    """What is to be started for an SQS record with this body, read as the starter reads it."""
    call = Call(message_id=message_id)
    return work_of(read_into(call, sqs_record(body, message_id=message_id)), call, machine=machine)


def ended_with(given: object) -> dict[str, Any]:
    """The event of the end of an execution that was given this."""
    return {**TIMED_OUT, "detail": {**TIMED_OUT["detail"], "input": json.dumps(given)}}


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED", "FAILED"])
def test_the_end_of_an_execution_that_gave_nothing_up_is_a_dead_letter(status: str) -> None:
    """Moved back into the queue as a message, its work is started anew, once for what ended."""
    event = {**TIMED_OUT, "detail": {**TIMED_OUT["detail"], "status": status}}
    again = delivered(event)
    assert again == Work("order-7-again", {"page": 3}, {"key": "order-7"})
    assert delivered(event, message_id="m-2") == again


def test_the_end_of_a_claimed_work_still_claims() -> None:
    """The execution's input was the envelope, and the event has it as text."""
    claim = {"bucket": "kept", "key": "work/1.json", "size": 300_000}
    ended = ended_with({"resilient": {"name": "order-1", "parked": 2, "claim": claim}, "input": None})
    assert wrapped(delivered(ended)) == {"resilient": {"key": "order-1", "claim": claim}, "input": None}


def test_the_end_of_a_batch_is_the_batch_again_and_that_of_one_item_is_this_item() -> None:
    """What an execution was told of its place in a batch is told to the next one too."""
    batch = delivered(ended_with({"items": [1, 2]}))
    assert wrapped(batch) == {"resilient": {"key": "order-7"}, "input": {"items": [1, 2]}}
    item = {"resilient": {"name": "night-3", "item": {"index": 3}}, "input": "a"}
    sent_back = delivered(ended_with({"resilient": {"key": "night-3"}, "input": item}))
    assert wrapped(sent_back) == {"resilient": {"key": "night-3"}, "input": item}
    by_hand = delivered(ended_with(item))
    assert wrapped(by_hand) == {"resilient": {"key": "night-3", "item": {"index": 3}}, "input": "a"}


def test_what_an_execution_had_spent_is_not_handed_on() -> None:
    """Neither attempts nor clock nor probes: a work begun anew is not given up at its first failure."""
    spent = {"name": "n", "key": "k", "parked": 9, "attempts": 4, "tries": [4], "probes": 2}
    given = {"resilient": {**spent, "first_started_at": "2026-11-01T00:00:00Z"}, "input": 7}
    assert begun_anew("n-p9", given) == Work("n-p9-again", 7, {"key": "k"})


def test_the_end_of_another_machines_execution_is_an_input() -> None:
    """A workflow may be fed with the ends of others."""
    for machine in ("another", None):
        assert delivered(TIMED_OUT, machine=machine) == Work("m-1", TIMED_OUT["detail"], {})


def test_an_end_without_its_input_says_what_to_do() -> None:
    """What was too large for the event is still in the execution."""
    detail = {**TIMED_OUT["detail"], "inputDetails": {"included": False}}
    del detail["input"]
    with pytest.raises(Reject, match=r"resilient redrive arn:aws:states:.*:execution:Pages:order-7"):
        delivered({**TIMED_OUT, "detail": detail})


@pytest.mark.parametrize("execution", [None, "order-7", "arn:aws:sqs:eu-west-1:1:execution:Pages:order-7"])
def test_a_body_that_only_looks_like_a_dead_letter_is_an_input(execution: object) -> None:
    """Somebody's own message may have members of these names."""
    body = {**GIVEN_UP, "execution": execution}
    assert work_of(body, CALL) == Work("order-7", body, {})


def test_a_replayed_event_is_a_work_of_its_own() -> None:
    """It has the event's id once more, and yet is meant to run again."""
    first = Call(idempotency_key="e-1", event={"id": "e-1", "detail": {}})
    again = Call(idempotency_key="e-1", event={"id": "e-1", "detail": {}, "replay-name": "after the outage"})
    assert work_of({}, first).name == "e-1"
    assert work_of({}, again).name not in ("e-1", work_of({}, first).name)


@given(st.dictionaries(st.sampled_from(["resilient", "input", "other"]), _json))
def test_no_input_is_taken_for_an_envelope(body: dict[str, Any]) -> None:
    """What the machine unwraps is what the message said, whatever members that has."""
    sent = wrapped(Work("n", body, {}))
    about = envelope_of(sent)
    assert (sent["input"] if about is not None else sent) == body
    assert ("resilient" in sent) == (about is not None)


@given(_json | st.text(alphabet=st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010)))
def test_the_text_says_the_same_and_has_an_encoding(value: Any) -> None:
    """Half a surrogate pair included, which a message may hold as an escape."""
    text = as_text(value)
    assert text.encode()
    assert json.loads(text) == json.loads(json.dumps(value))


def test_what_is_no_json_is_refused() -> None:
    """Python reads NaN, and would write it; Step Functions takes it for no JSON."""
    with pytest.raises(ValueError, match="JSON"):
        as_text({"x": float("nan")})


def test_the_size_is_counted_in_bytes() -> None:
    """And it leaves the machine room to put something around an input."""
    assert not is_too_large("x" * (LARGEST_INPUT - 40_000))
    assert is_too_large("x" * LARGEST_INPUT)
    assert is_too_large("ä" * (LARGEST_INPUT // 2))
    assert not is_too_large("ä" * (LARGEST_INPUT // 2 - 20_000))
