"""The constructs in their other forms: FIFO, a customer key, a given queue, a function of the user's."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest
from aws_cdk import App, CfnOutput, Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from courier_run import target_out_of_reach, wait_for
from grants import without

from resilient_constructs import Authorization, FanOutBus, FlowControlledConsumer, Route, StorageFirstApi
from resilient_constructs.local import LocalAws
from resilient_constructs.local.deploy import local_api_url
from resilient_constructs.local.permissions import Proof, policies_of, prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

STACK = "OtherForms"
SUCCEEDS = "def handler(event, context):\n    return {'batchItemFailures': []}\n"
SCHEMA = {"type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"]}


class OtherForms(Stack):
    """API → FIFO queue under a customer key → a plain function; bus → a given queue → the same function."""

    def __init__(self, app: App) -> None:
        super().__init__(app, STACK)
        key = kms.Key(self, "Key")
        ordered = FlowControlledConsumer(
            self, "Ordered", function=self._plain("OrderedWorker"), fifo=True, encryption_key=key
        )
        api = StorageFirstApi(
            self,
            "Api",
            authorization=Authorization.NONE,
            routes=[Route.post("/orders", schema=SCHEMA, store=ordered.messages(message_group="customer"))],
        )
        dead = sqs.Queue(self, "GivenDead", enforce_ssl=True)
        given = sqs.Queue(
            self,
            "Given",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            visibility_timeout=Duration.seconds(60),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=5),
        )
        consumer = FlowControlledConsumer(self, "Unordered", function=self._plain("Worker"), queue=given)
        bus = FanOutBus(self, "Bus", encryption_key=key)
        bus.subscribe("Work", consumer, detail_type=["OrderPlaced"])
        CfnOutput(self, "ApiUrl", value=api.url)
        CfnOutput(self, "BusName", value=bus.event_bus.event_bus_name)

    def _plain(self, name: str) -> lambda_.Function:
        return lambda_.Function(
            self,
            name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(SUCCEEDS),
            timeout=Duration.seconds(3),
        )


@pytest.fixture(scope="module")
def outputs(local_aws: LocalAws) -> dict[str, str]:
    """The stack on the local AWS; CloudFormation alone, its functions are inline."""
    cloudformation = local_aws.client("cloudformation")
    template = Template.from_stack(OtherForms(App())).to_json()
    # what watches grants nothing, and a template given inline may have 51,200 bytes
    watching = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::QueryDefinition")
    made = {k: r for k, r in template["Resources"].items() if r["Type"] not in watching}
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps({"Resources": made, "Outputs": template["Outputs"]}),
        Capabilities=["CAPABILITY_IAM"],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


@pytest.fixture(scope="module")
def proof(local_aws: LocalAws, outputs: dict[str, str]) -> Proof:
    """What the calls say of a run in which both queues are worked off, and one event is not delivered."""
    assert order(local_aws, outputs) == 202
    put(local_aws, outputs)
    with target_out_of_reach(local_aws, outputs["BusName"]):
        put(local_aws, outputs)
    wait_for(
        "the last call", lambda: len(deletions(local_aws)) >= 2 and not left_over(prove(local_aws, [STACK]))
    )
    return prove(local_aws, [STACK])


def order(aws: LocalAws, outputs: dict[str, str]) -> int:
    """Post an order; the status of the answer."""
    request = urllib.request.Request(
        f"{local_api_url(outputs['ApiUrl'], aws.endpoint)}/orders",
        data=b'{"customer": "c"}',
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def put(aws: LocalAws, outputs: dict[str, str]) -> None:
    """Put an event on the bus."""
    entry = {"Source": "shop", "DetailType": "OrderPlaced", "Detail": "{}"}
    aws.client("events").put_events(Entries=[{**entry, "EventBusName": outputs["BusName"]}])


def deletions(aws: LocalAws) -> list[str]:
    """The queues whose pollers deleted what their function had done."""
    return [call.resource for call in aws.calls() if call.action == "sqs:DeleteMessage"]


USERS_OWN = "AWSLambdaBasicExecutionRole"
"""What the CDK gives to a function of the user's: every log group of the account."""

NOT_EXERCISED = {
    "kms:DescribeKey": "the CDK grants it to EventBridge for a bus under a key; no bus is encrypted locally",
    "kms:ReEncrypt*": "as for describing the key",
}


def left_over(proof: Proof) -> set[str]:
    """Granted actions of ours that nothing used, and that are not listed."""
    return {one.action for one in proof.unused if one.policy != USERS_OWN} - set(NOT_EXERCISED)


def test_no_grant_is_missing(proof: Proof) -> None:
    """Every call is allowed: the API's and EventBridge's use of the key, the pollers' decryption."""
    assert [(call.principal, call.action, call.resource) for call in proof.denied] == []
    assert proof.judged > 10


def test_what_is_left_over_is_listed(proof: Proof) -> None:
    """Every grant was used, save exactly those listed with their reason."""
    assert {one.action for one in proof.unused if one.policy != USERS_OWN} == set(NOT_EXERCISED)


def test_nothing_of_ours_is_broad(proof: Proof) -> None:
    """The wildcards are the CDK's: the account administers its own key, and EventBridge may re-encrypt."""
    ours = {(one.action, one.to) for one in proof.broad if one.policy != USERS_OWN}
    assert ours == {
        ("kms:*", ("AWS:arn:aws:iam::000000000000:root",)),
        ("kms:ReEncrypt*", ("Service:events.amazonaws.com",)),
    }


@pytest.mark.usefixtures("proof")
@pytest.mark.parametrize(
    ("action", "status"),
    [("sqs:SendMessage", 503), ("kms:GenerateDataKey", 202), ("kms:Decrypt", 202)],
)
def test_an_api_without_this_grant_fails(
    local_aws: LocalAws, outputs: dict[str, str], action: str, status: int
) -> None:
    """Without leave to send nothing is accepted; a missing leave to use the key only the proof sees."""
    (role,) = {one.owner for one in policies_of(local_aws, [STACK]) if "ApiRole" in one.owner}
    since = time.time()
    with without(local_aws, role, action):
        assert order(local_aws, outputs) == status
        assert {call.action for call in prove(local_aws, [STACK], since=since).denied} == {action}
