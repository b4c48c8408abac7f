"""A client and an API, end to end: what a lost answer leaves behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack, assertions
from aws_cdk import aws_sqs as sqs
from resilient_runtime import Retry, StorageFirstClient
from resilient_runtime.http_transport import HttpTransport, Reply
from resilient_runtime.messages import read
from template_reading import ORDER

from resilient_constructs import Authorization, FanOutBus, QueueStore, Route, StorageFirstApi
from resilient_constructs.local import LocalAws
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

_NOT_NEEDED = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::QueryDefinition")
_MADE = {"Queue": "/queue", "Fifo": "/fifo", "FromBus": "/bus"}


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws) -> dict[str, str]:
    """An API that stores in a queue, a FIFO queue and on a bus; physical IDs by logical ID."""
    stack = Stack(App(), "Shop")
    bus = FanOutBus(stack, "Orders", archive=False)
    from_bus = sqs.Queue(stack, "FromBus", enforce_ssl=True)
    bus.subscribe("FromBus", from_bus, detail_type=["OrderPlaced"])
    fifo = sqs.Queue(stack, "Fifo", fifo=True)
    StorageFirstApi(
        stack,
        "Api",
        authorization=Authorization.NONE,
        routes=[
            Route.post("/queue", schema=ORDER, store=sqs.Queue(stack, "Queue")),
            Route.post("/fifo", schema=ORDER, store=QueueStore(queue=fifo, message_group="customer")),
            Route.post("/bus", schema=ORDER, store=bus.events(source="shop", detail_type="OrderPlaced")),
        ],
    )
    resources = assertions.Template.from_stack(stack).to_json()["Resources"]
    wanted = {name: one for name, one in resources.items() if one["Type"] not in _NOT_NEEDED}
    cloudformation = local_aws.client("cloudformation")
    cloudformation.create_stack(
        StackName="Shop",
        TemplateBody=json.dumps({"Resources": wanted}),
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="Shop", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    found = cloudformation.describe_stack_resources(StackName="Shop")["StackResources"]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}


class Losing:
    """A way to the API on which the first answers are lost after they were given."""

    def __init__(self, url: str, *, lost: int) -> None:
        self._send = HttpTransport(url, limit=1)
        self._lost = lost
        self.statuses: list[int] = []

    def __call__(self, *request: Any) -> Reply:
        """Send, and lose the answer or hand it on."""
        reply = self._send(*request)
        self.statuses.append(reply.status)
        if len(self.statuses) <= self._lost:
            raise ConnectionResetError("the answer is lost")
        return reply


def _records(local_aws: LocalAws, url: str) -> list[dict[str, Any]]:
    """What is in a queue, as Lambda would deliver it."""
    messages: list[Any] = []
    client = local_aws.client("sqs")
    while more := client.receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=10, WaitTimeSeconds=1
    ).get("Messages"):
        messages += more
    return [
        {
            "messageId": one["MessageId"],
            "body": one["Body"],
            "messageAttributes": {
                name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                for name, value in one.get("MessageAttributes", {}).items()
            },
        }
        for one in messages
    ]


@pytest.mark.parametrize(("store", "stored"), [("Queue", 2), ("Fifo", 1), ("FromBus", 2)])
def test_a_lost_answer_makes_no_second_piece_of_work(
    local_aws: LocalAws, deployed: dict[str, str], store: str, stored: int
) -> None:
    """However often a message is stored, a handler sees one idempotency key; a FIFO queue stores it once."""
    api = next(name for logical, name in deployed.items() if logical.startswith("ApiRestApi"))
    queue = next(name for logical, name in deployed.items() if logical.rstrip("0123456789ABCDEF") == store)
    url = f"{local_aws.endpoint}/restapis/{api}/prod/_user_request_"
    transport = Losing(url, lost=1)
    client = StorageFirstClient(url, auth="none", transport=transport, retry=Retry(sleep=lambda wait: None))
    order = {"customer": "c-1", "order": 17}
    accepted = client.send(_MADE[store], order)
    client.close()
    assert transport.statuses == [202, 202]
    assert accepted.attempts == 2
    messages = [read(record) for record in _records(local_aws, queue)]
    assert len(messages) == stored
    assert {message.idempotency_key for message in messages} == {accepted.idempotency_key}
    assert {message.correlation_id for message in messages} == {accepted.correlation_id}
    assert [message.body for message in messages] == [order] * stored
