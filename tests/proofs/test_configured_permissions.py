"""Configuration, memory of messages and leave to update itself: each grant is needed, and none is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest
from courier_consequences import CONSEQUENCES, FUNCTION
from courier_run import wait_for
from deployed_consumer import DeployedConsumer
from grants import without

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import Proof, policies_of, prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

REPOSITORY = Path(__file__).parents[2]
STACK = "Configured"

KNOW_NO_RESOURCES = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "secretsmanager:BatchGetSecretValue",
}
"""https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""


@dataclass(frozen=True, kw_only=True)
class Configured(DeployedConsumer):
    """The deployed consumer, and what one can do to it."""

    stack: ClassVar[str] = STACK

    def order(self, then: str = "succeed") -> str:
        """Send an order; its ID."""
        order_id = uuid4().hex
        body = json.dumps({"order_id": order_id, "then": then})
        url = self.made("AWS::SQS::Queue", "DeliveryQueue")
        self.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
        return order_id

    def handled(self, order_id: str) -> bool:
        """Whether the handler came to its end for an order, with every value."""
        group = self.made("AWS::Logs::LogGroup")
        events = self.aws.client("logs").filter_log_events(logGroupName=group)["events"]
        wanted = f"handled {order_id} with certificate, key, rates, url"
        return any(wanted in event["message"] for event in events)

    def start_anew(self) -> None:
        """New environments from here on, which load their configuration."""
        functions, name = self.aws.client("lambda"), self.made("AWS::Lambda::Function")
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        # of which the function must not think that it has just replaced itself
        kept = {key: value for key, value in variables.items() if key != "RESILIENT_REPLACED_AT"}
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**kept, "STARTED_ANEW": uuid4().hex}}
        )

    def forget_orders(self) -> None:
        """Take back what waits or failed."""
        self.aws.client("sqs").purge_queue(QueueUrl=self.made("AWS::SQS::Queue", "DeliveryQueue"))


@pytest.fixture(scope="module")
def configured(local_aws: LocalAws) -> Configured:
    """The consumer with its values in place; a failed message comes back after a second."""
    deployment = deploy(local_aws, app="python tests/proofs/configured_app/app.py", cwd=REPOSITORY)
    found = Configured(deployment=deployment)
    parameters = local_aws.client("ssm")
    parameters.put_parameter(Name="/shop/url", Value="https://courier.example.com", Type="String")
    parameters.put_parameter(
        Name="/shop/rates", Value='{"express": 9}', Type="SecureString", KeyId=found.made("AWS::KMS::Key")
    )
    local_aws.client("secretsmanager").create_secret(Name="shop/certificate", SecretString="PEM")
    local_aws.client("sqs").set_queue_attributes(
        QueueUrl=found.made("AWS::SQS::Queue", "DeliveryQueue"), Attributes={"VisibilityTimeout": "1"}
    )
    return found


@pytest.fixture(scope="module")
def proof(configured: Configured) -> Proof:
    """What the calls of a run say in which everything happens that a grant is there for."""
    order = configured.order()
    wait_for("the order with all its values", lambda: configured.handled(order))
    for then in ("reject", "fail", "replace"):
        configured.order(then)
    wait_for("the last call", lambda: not left_over(prove(configured.aws, [STACK]), configured.role))
    found = prove(configured.aws, [STACK])
    configured.forget_orders()
    return found


def left_over(proof: Proof, role: str) -> set[str]:
    """What the function's role was granted and never used."""
    return {one.action for one in proof.unused if one.owner == role}


def test_no_grant_is_missing(proof: Proof) -> None:
    """Every call is allowed: values are read, and decrypted in their own context; messages are noted."""
    assert [(call.action, call.resource) for call in proof.denied] == []
    assert proof.judged > 20


def test_no_grant_is_left_over(proof: Proof, configured: Configured) -> None:
    """Every action that the role was granted was used."""
    assert left_over(proof, configured.role) == set()


def test_nothing_is_granted_on_everything(proof: Proof, configured: Configured) -> None:
    """The only wildcards are those of actions that know no resources."""
    broad = {one.action for one in proof.broad if one.owner == configured.role}
    assert broad == KNOW_NO_RESOURCES


def test_a_key_decrypts_nothing_else(configured: Configured) -> None:
    """With the key of its secret and its parameter, the function decrypts these two and nothing else."""
    conditions = [
        one.conditions
        for one in policies_of(configured.aws, [STACK])
        if one.owner == configured.role and any(grant.action == "kms:Decrypt" for grant in one.grants)
    ]
    assert len(conditions) == 2
    named = {key for each in conditions for block in each.values() for key in block}
    assert named == {"kms:EncryptionContext:SecretARN", "kms:EncryptionContext:PARAMETER_ARN"}


NEEDED = [
    ("ssm:GetParameters", "succeed", False),
    ("secretsmanager:GetSecretValue", "succeed", False),
    ("dynamodb:PutItem", "succeed", False),
    ("dynamodb:DeleteItem", "fail", False),
    ("sqs:ChangeMessageVisibility", "fail", False),
    ("lambda:GetFunctionConfiguration", "replace", False),
    ("lambda:UpdateFunctionConfiguration", "replace", False),
    # the secrets are read one by one
    ("secretsmanager:BatchGetSecretValue", "succeed", True),
    # the order is done, and would be done again if it came again
    ("dynamodb:UpdateItem", "succeed", True),
    # nothing local decrypts; on AWS the value would not be read
    ("kms:Decrypt", "succeed", True),
]


def test_each_grant_is_tried(configured: Configured) -> None:
    """What is taken away below, and from the courier's consumer, is all that the role was granted."""
    statements = policies_of(configured.aws, [STACK])
    granted = {grant.action for one in statements if one.owner == configured.role for grant in one.grants}
    tried_there = {action for owner, action in CONSEQUENCES if owner == FUNCTION}
    assert granted == {action for action, _, _ in NEEDED} | tried_there


@pytest.fixture
def without_orders(configured: Configured) -> Iterator[None]:
    """No order of this case is left for the next one."""
    yield
    configured.forget_orders()


@pytest.mark.usefixtures("proof", "without_orders")
@pytest.mark.parametrize(("action", "then", "handled"), NEEDED, ids=[one[0] for one in NEEDED])
def test_a_run_without_this_grant_is_seen(
    configured: Configured, action: str, then: str, handled: bool
) -> None:
    """With one grant taken away the order is not handled, or the proof alone tells; it names the call."""
    with without(configured.aws, configured.role, action):
        configured.start_anew()
        since = time.time()
        order = configured.order(then)
        wait_for(f"{action} among the denied", lambda: action in denied(configured, since))
        if handled:
            wait_for("the order", lambda: configured.handled(order))
        assert denied(configured, since) == {action}
        assert configured.handled(order) is handled


def denied(configured: Configured, since: float) -> set[str]:
    """The actions that were refused, or would be on AWS."""
    return {call.action for call in prove(configured.aws, [STACK], since=since).denied}
