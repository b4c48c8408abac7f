"""The names written out at synth are the names that a deployment gives."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_lambda as lambda_

from resilient_constructs import FanOutBus, FlowControlledConsumer
from resilient_constructs.local import LocalAws
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local


@pytest.fixture
def deployed(local_aws: LocalAws) -> dict[str, str]:
    """A bus and a consumer whose function fails each message; physical IDs by logical ID."""
    stack = Stack(App(), "Shop")
    function = lambda_.Function(
        stack,
        "Failing",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline(
            "def handler(event, context):\n"
            "    ids = [record['messageId'] for record in event['Records']]\n"
            "    return {'batchItemFailures': [{'itemIdentifier': one} for one in ids]}\n"
        ),
        timeout=Duration.seconds(1),
    )
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        function=function,
        max_receive_count=1,
        visibility_timeout=Duration.seconds(1),
    )
    FanOutBus(stack, "Orders", archive=False).subscribe("Delivery", consumer, detail_type=["OrderPlaced"])
    template = assertions.Template.from_stack(stack).to_json()
    wanted = {
        name: one
        for name, one in template["Resources"].items()
        if one["Type"]
        not in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::QueryDefinition")
    }
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


def _queue(client: Any, deployed: dict[str, str], begins: str) -> tuple[str, dict[str, str]]:
    (url,) = [
        physical
        for logical, physical in deployed.items()
        if logical.startswith(begins) and not logical.startswith(f"{begins}Policy")
    ]
    return url, client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def test_written_out_names_are_those_of_the_deployment(local_aws: LocalAws, deployed: dict[str, str]) -> None:
    """The allow list names the true source queue, its policy the true rule, and dead letters arrive."""
    client = local_aws.client("sqs")
    _, source = _queue(client, deployed, "DeliveryQueue")
    dead_url, dead = _queue(client, deployed, "DeliveryDeadLetterQueue")
    assert json.loads(dead["RedriveAllowPolicy"])["sourceQueueArns"] == [source["QueueArn"]]

    events = local_aws.client("events")
    (bus,) = [physical for logical, physical in deployed.items() if logical.startswith("OrdersBus")]
    (rule,) = events.list_rules(EventBusName=bus)["Rules"]
    allowed = [
        one["Condition"]["ArnEquals"]["aws:SourceArn"]
        for one in json.loads(source["Policy"])["Statement"]
        if one["Effect"] == "Allow"
    ]
    assert allowed == [rule["Arn"]]

    events.put_events(
        Entries=[
            {"EventBusName": bus, "Source": "shop", "DetailType": "OrderPlaced", "Detail": '{"order": 7}'}
        ]
    )
    deadline = time.monotonic() + 20
    messages: list[Any] = []
    while not messages and time.monotonic() < deadline:
        messages = client.receive_message(QueueUrl=dead_url, WaitTimeSeconds=2).get("Messages", [])
    assert json.loads(messages[0]["Body"])["detail"] == {"order": 7}
