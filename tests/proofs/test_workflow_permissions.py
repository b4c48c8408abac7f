"""A workflow's roles on the local AWS: no grant is missing, and none is there for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from courier_run import wait_for
from deployed import Deployed

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import Proof, policies_of, prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Scans"
ROLES = ("AnalyseRole", "AnalyseStarterRole", "ReaderRole")

NOT_EXERCISED = {
    "xray:PutTraceSegments": "no trace is recorded locally",
    "xray:PutTelemetryRecords": "no trace is recorded locally",
    "xray:GetSamplingRules": "no trace is recorded locally",
    "xray:GetSamplingTargets": "no trace is recorded locally",
    "logs:CreateLogDelivery": "no execution is logged locally; Step Functions asks for all of these",
    "logs:GetLogDelivery": "as for creating one",
    "logs:UpdateLogDelivery": "as for creating one",
    "logs:DeleteLogDelivery": "as for creating one",
    "logs:ListLogDeliveries": "as for creating one",
    "logs:PutResourcePolicy": "as for creating one",
    "logs:DescribeResourcePolicies": "as for creating one",
    "logs:DescribeLogGroups": "as for creating one",
    "sqs:ChangeMessageVisibility": "only for work that had to go back for its turn",
    "s3:ListBucket": "never called: whoever may not is told that a missing object is denied",
}


@dataclass(frozen=True, kw_only=True)
class Scans(Deployed):
    """The deployed workflow."""

    stack = STACK

    def send(self, body: str) -> None:
        """Put work into the queue."""
        self.aws.client("sqs").send_message(
            QueueUrl=self.made("AWS::SQS::Queue", "AnalyseQueue"), MessageBody=body
        )

    def start(self, page: Mapping[str, object]) -> str:
        """Start an execution, past the queue; its ARN."""
        started = self.aws.client("stepfunctions").start_execution(
            stateMachineArn=self.made("AWS::StepFunctions::StateMachine", "Analyse"),
            name=uuid4().hex,
            input=json.dumps(page),
        )
        return str(started["executionArn"])

    def ended(self, execution: str) -> str:
        """An execution's status and output."""
        told = self.aws.client("stepfunctions").describe_execution(executionArn=execution)
        return f"{told['status']} {told.get('output', '')}"

    def has_failed(self, execution: str) -> bool:
        """Whether an execution gave its work up."""
        return self.ended(execution).startswith("FAILED")

    def letters(self, begins: str) -> int:
        """How many messages a queue holds."""
        url = self.made("AWS::SQS::Queue", begins)
        found = self.aws.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    def open_circuit(self) -> None:
        """Force it open, as an operator would."""
        self.aws.client("dynamodb").put_item(
            TableName=self.made("AWS::DynamoDB::Table", "ResilientCircuits"),
            Item={"name": {"S": "Ocr"}, "state": {"S": "FORCED_OPEN"}, "version": {"N": "1000"}},
        )


@pytest.fixture(scope="module")
def scans(local_aws: LocalAws) -> Scans:
    """The app, deployed."""
    return Scans(deployment=deploy(local_aws, app="python tests/proofs/workflow_app/app.py", cwd=REPOSITORY))


@pytest.fixture(scope="module")
def proof(scans: Scans) -> Proof:
    """What the calls say of a run in which everything happens that a grant is there for."""
    scans.send('{"text": "abc"}')
    scans.send(json.dumps({"text": "x" * 400_000}))
    scans.send("NaN")
    wait_for("what can never be started", lambda: scans.letters("AnalyseDeadLetterQueue") == 1)
    for then in ("reject", "fail"):
        execution = scans.start({"then": then})
        wait_for(f"the end of {then}", partial(scans.has_failed, execution))
    scans.open_circuit()
    parked = scans.start({"text": "abc"})
    wait_for("parked work", lambda: "PARKED" in scans.ended(parked))
    wait_for("the last call", lambda: not left_over(prove(scans.aws, [STACK]), scans) - set(NOT_EXERCISED))
    return prove(scans.aws, [STACK])


def owners(scans: Scans) -> set[str]:
    """The ARNs of the roles of the machine, the starter and the work's function."""
    found = {one.owner for one in policies_of(scans.aws, [STACK])}
    ours = {owner for owner in found if any(role in owner for role in ROLES)}
    assert len(ours) == len(ROLES), found
    return ours


def left_over(proof: Proof, scans: Scans) -> set[str]:
    """What these roles were granted and never used."""
    ours = owners(scans)
    return {one.action for one in proof.unused if one.owner in ours}


def test_no_grant_is_missing(proof: Proof) -> None:
    """Starting, calling, counting, keeping, parking and giving up: every call is allowed."""
    assert [(call.principal, call.action, call.resource) for call in proof.denied] == []
    assert proof.judged > 20


def test_what_is_left_over_is_listed(proof: Proof, scans: Scans) -> None:
    """Every action was used, save exactly those listed with their reason."""
    assert left_over(proof, scans) == set(NOT_EXERCISED)


def test_only_what_knows_no_resources_is_granted_on_everything(proof: Proof, scans: Scans) -> None:
    """The wildcards are log deliveries and traces."""
    ours = owners(scans)
    broad = {one.action for one in proof.broad if one.owner in ours}
    assert broad
    assert all(action.startswith(("xray:", "logs:")) for action in broad)
