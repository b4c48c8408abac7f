from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import DEAD_LETTERS, FIFO, delivered, sqs_record
from moto import mock_aws
from resilient_runtime.messages import read
from resilient_runtime.rejection import (
    LABEL,
    MAX_ATTRIBUTES,
    MAX_BYTES,
    Rejection,
    compose,
    read_label,
    size_of,
)
from resilient_runtime.stores.dead_letters import DeadLetterQueue

WHY = Rejection(
    reason="no such address",
    error="KeyError: 'street'",
    correlation_id="c-1",
    attempt=2,
    function_name="Delivery",
    request_id="r-1",
    rejected_at="2027-01-15T08:00:00.250Z",
)
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=20)
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40) | st.binary(
    min_size=1, max_size=40
)
TEN = {f"name{n}": f"value {n}" for n in range(9)} | {"correlation_id": "c"}


def label_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """The label among the arguments of ``SendMessage``."""
    return dict(json.loads(arguments["MessageAttributes"][LABEL]["StringValue"]))


def test_the_label_says_all_that_is_known() -> None:
    """Reason, cause, story, origin, attempt, function, request and time stand in one attribute."""
    arguments, labelled = compose(sqs_record({"order": 1}), WHY, queue_url=DEAD_LETTERS)
    assert labelled
    assert arguments["QueueUrl"] == DEAD_LETTERS
    assert arguments["MessageBody"] == '{"order": 1}'
    assert label_of(arguments) == {
        "reason": "no such address",
        "error": "KeyError: 'street'",
        "correlation_id": "c-1",
        "message_id": "m-1",
        "source": "arn:aws:sqs:eu-west-1:111122223333:orders",
        "attempt": 2,
        "function_name": "Delivery",
        "request_id": "r-1",
        "rejected_at": "2027-01-15T08:00:00.250Z",
    }


def test_ten_attributes_leave_no_room_so_one_moves_into_the_label() -> None:
    """A message with all ten attributes keeps them all: nine as they were and one inside the label."""
    record = sqs_record(attributes=TEN)
    arguments, labelled = compose(record, WHY, queue_url=DEAD_LETTERS)
    assert labelled
    assert len(arguments["MessageAttributes"]) == MAX_ATTRIBUTES
    assert arguments["MessageAttributes"]["correlation_id"]["StringValue"] == "c"
    assert list(label_of(arguments)["displaced"]) == ["name0"]
    assert read(delivered(arguments)).attributes == TEN


def test_a_message_rejected_again_keeps_its_first_id() -> None:
    """Sent back and rejected once more, it has one label, and its idempotency key has not changed."""
    first, _ = compose(sqs_record(attributes=TEN, message_id="first"), WHY, queue_url=DEAD_LETTERS)
    again = delivered(first, message_id="second")
    assert read(again).idempotency_key == "first"
    assert read(again).correlation_id == "c"
    second, _ = compose(again, WHY, queue_url=DEAD_LETTERS)
    third = read(delivered(second, message_id="third"))
    assert (third.idempotency_key, third.attributes) == ("first", TEN)


def test_a_story_goes_on_after_a_redrive() -> None:
    """A message without an id of its own is still known by the one it was rejected with."""
    arguments, _ = compose(sqs_record(message_id="first"), WHY, queue_url=DEAD_LETTERS)
    assert read(delivered(arguments, message_id="second")).correlation_id == "c-1"


@pytest.mark.parametrize(
    "value", ["", "no json", "[]", "{}", '{"reason":1,"message_id":2,"displaced":3}', "[" * 9999]
)
def test_a_foreign_attribute_of_that_name_is_left_alone(value: str) -> None:
    """What is no label of ours is an attribute like any other."""
    assert read_label({"stringValue": value}) == {}
    assert read(sqs_record(attributes={LABEL: value})).attributes == {LABEL: value}


def test_a_fifo_queue_gets_group_and_deduplication_id() -> None:
    """In a FIFO dead-letter queue the message keeps its group, and is stored once if sent twice."""
    record = sqs_record(group="customer-1", arn=FIFO)
    arguments, _ = compose(record, WHY, queue_url=DEAD_LETTERS + ".fifo")
    assert arguments["MessageGroupId"] == "customer-1"
    assert arguments["MessageDeduplicationId"] == "m-1"


def test_a_fair_queues_group_and_the_trace_go_along() -> None:
    """On a standard queue the tenant's group and the X-Ray trace are part of the whole message."""
    record = sqs_record(group="tenant")
    record["attributes"]["AWSTraceHeader"] = "Root=1-5e3d83c1-e6a0db584850d61342823d4c"
    arguments, _ = compose(record, WHY, queue_url=DEAD_LETTERS)
    assert arguments["MessageGroupId"] == "tenant"
    assert "MessageDeduplicationId" not in arguments
    assert arguments["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"].startswith("Root=")


@given(
    attributes=st.dictionaries(NAMES, VALUES, max_size=10),
    reason=st.text(max_size=6000),
    room=st.none() | st.integers(min_value=0, max_value=6000),
)
def test_whatever_was_sent_comes_back(
    attributes: dict[str, str | bytes], reason: str, room: int | None
) -> None:
    """With any attributes, any reason and any room up to SQS's limit, nothing of the original is lost."""
    bare = sqs_record("", attributes=attributes)
    size = 0 if room is None else MAX_BYTES - room - size_of("", bare["messageAttributes"])
    body = "b" * max(size, 1)
    record = sqs_record(body, attributes=attributes)
    why = Rejection(
        reason=reason,
        error=reason,
        correlation_id="c",
        attempt=1,
        function_name="f",
        request_id="r",
        rejected_at="t",
    )
    arguments, labelled = compose(record, why, queue_url=DEAD_LETTERS)
    again = delivered(arguments)
    assert len(again["messageAttributes"]) <= MAX_ATTRIBUTES
    assert size_of(body, again["messageAttributes"]) <= MAX_BYTES
    assert labelled == (LABEL in again["messageAttributes"])
    assert labelled or (room is not None and room < 1000)
    message = read(again)
    assert (message.body, message.attributes) == (body, attributes)


def test_a_reason_too_long_for_the_room_is_shortened() -> None:
    """Beside a large body the label keeps the beginning of the reason, and everything else."""
    body = "b" * (MAX_BYTES - 600)
    why = Rejection(
        reason="r" * 5000,
        error=None,
        correlation_id="c",
        attempt=1,
        function_name="f",
        request_id="r",
        rejected_at="t",
    )
    arguments, labelled = compose(sqs_record(body), why, queue_url=DEAD_LETTERS)
    assert labelled
    assert label_of(arguments)["reason"] == "r" * 256 + "…"


class RefusedError(Exception):
    """A botocore ClientError by its shape."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


class Client:
    """Answers each send with the next of ``answers``; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **arguments: Any) -> Any:
        """Give the next answer."""
        self.sent.append(arguments)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "code", ["InvalidParameterValue", "com.amazonaws.sqs#InvalidMessageContents", "InvalidAttributeValue"]
)
def test_a_label_that_the_queue_refuses_is_left_off(code: str) -> None:
    """A dead-letter queue that takes less than SQS itself still gets the bare message."""
    client = Client(RefusedError(code), {"MessageId": "d"})
    assert DeadLetterQueue(DEAD_LETTERS, lambda: client).store(sqs_record(attributes=TEN), WHY) is False
    assert LABEL not in client.sent[1]["MessageAttributes"]
    assert len(client.sent[1]["MessageAttributes"]) == MAX_ATTRIBUTES


@pytest.mark.parametrize("answer", [RefusedError("AccessDenied"), ConnectionError("reset"), {}])
def test_what_is_not_confirmed_is_not_stored(answer: Any) -> None:
    """Any other answer is an error at once: the message must not be deleted."""
    client = Client(answer)
    with pytest.raises((RefusedError, ConnectionError, RuntimeError)):
        DeadLetterQueue(DEAD_LETTERS, lambda: client).store(sqs_record(), WHY)
    assert len(client.sent) == 1


def test_the_client_is_made_once_and_late() -> None:
    """An environment that rejects nothing never pays for boto3; one that does pays once."""
    made: list[Client] = []

    def connect() -> Client:
        made.append(Client({"MessageId": "d"}, {"MessageId": "d"}))
        return made[-1]

    queue = DeadLetterQueue(DEAD_LETTERS, connect)
    assert made == []
    queue.store(sqs_record(), WHY)
    queue.store(sqs_record(), WHY)
    assert len(made) == 1


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an SQS in memory."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("sqs")


@pytest.mark.parametrize("fifo", [False, True])
def test_boto3_takes_the_message_as_it_is_composed(sqs: Any, fifo: bool) -> None:
    """The real client sends it and the queue holds it whole: body, text and binary attributes, label."""
    name = "dead.fifo" if fifo else "dead"
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})["QueueUrl"]
    attributes: dict[str, str | bytes] = {**{f"n{i}": f"wert {i} ü" for i in range(9)}, "raw": b"\x00\xff"}
    record = sqs_record({"order": 1}, attributes=attributes, group="g" if fifo else None, arn=FIFO)
    assert DeadLetterQueue(url).store(record, WHY) is True
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    sent = {"MessageBody": message["Body"], "MessageAttributes": message["MessageAttributes"]}
    again = read(delivered(sent))
    assert (again.body, again.attributes, again.correlation_id) == ({"order": 1}, attributes, "c-1")
