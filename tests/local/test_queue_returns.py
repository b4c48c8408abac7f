"""Messages on their way back, against a queue."""

from __future__ import annotations

import time
from typing import Any

import pytest
from resilient_runtime.stores import clients
from resilient_runtime.stores.visibility import CouldNotDelay, QueueVisibility

from resilient_constructs.local import LocalAws


@pytest.fixture
def visibility(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> QueueVisibility:
    """What a function has, with the client that it makes itself."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    # The one that is kept belongs to another test's account.
    monkeypatch.setattr(clients, "_session", None)
    return QueueVisibility()


def received(local_aws: LocalAws, queue: str, count: int) -> list[dict[str, Any]]:
    """Messages as Lambda would hand them over; hidden for ten minutes."""
    sqs = local_aws.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=count, VisibilityTimeout=600)
    return [
        {"messageId": one["MessageId"], "receiptHandle": one["ReceiptHandle"], "eventSourceARN": arn}
        for one in answer.get("Messages", [])
    ]


def test_a_message_returns_when_it_was_told_to(local_aws: LocalAws, visibility: QueueVisibility) -> None:
    """Hidden for ten minutes by its receive, it is there after a second, and the others are not."""
    sqs = local_aws.client("sqs")
    queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
    for number in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    records = received(local_aws, queue, 3)
    assert len(records) == 3
    visibility.change([(records[0], 0.7), (records[1], 60.0)])
    assert received(local_aws, queue, 3) == []
    time.sleep(1.2)
    assert [one["messageId"] for one in received(local_aws, queue, 3)] == [records[0]["messageId"]]


def test_a_receipt_that_is_none_costs_no_other_message_its_return(
    local_aws: LocalAws, visibility: QueueVisibility
) -> None:
    """SQS answers for each entry of a batch by itself."""
    sqs = local_aws.client("sqs")
    queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="1")
    (record,) = received(local_aws, queue, 1)
    with pytest.raises(CouldNotDelay, match="1 of 2 messages"):
        visibility.change([({**record, "receiptHandle": "none"}, 1.0), (record, 0.0)])
    assert [one["messageId"] for one in received(local_aws, queue, 1)] == [record["messageId"]]


def test_a_message_that_waits_holds_back_its_group(local_aws: LocalAws, visibility: QueueVisibility) -> None:
    """In a FIFO queue the message behind it is received after it, however soon it would be there."""
    sqs = local_aws.client("sqs")
    queue = sqs.create_queue(
        QueueName="orders.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    )["QueueUrl"]
    for number in range(2):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number), MessageGroupId="a")
    first, second = received(local_aws, queue, 2)
    visibility.change([(first, 1.0), (second, 0.0)])
    assert received(local_aws, queue, 2) == []
    time.sleep(1.3)
    assert [one["messageId"] for one in received(local_aws, queue, 2)] == [
        first["messageId"],
        second["messageId"],
    ]
