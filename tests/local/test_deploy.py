"""The real ``cdk deploy`` on the local AWS, with IAM enforced."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from resilient_constructs.local import Deployment, LocalAws, LocalAwsError, deploy
from resilient_constructs.local.permissions import prove

pytestmark = pytest.mark.local

_APP = textwrap.dedent("""
    import os
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_, aws_sqs as sqs
    app = cdk.App()
    stack = cdk.Stack(app, "One")
    queue = sqs.Queue(stack, "Queue", enforce_ssl=True)
    function = lambda_.Function(
        stack, "Function", runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler",
        code=lambda_.Code.from_asset("code"), timeout=cdk.Duration.seconds(20),
        environment={"QUEUE": queue.queue_url},
    )
    queue.grant_send_messages(function)
    cdk.CfnOutput(stack, "QueueUrl", value=queue.queue_url)
    cdk.CfnOutput(stack, "BuildFor", value=os.environ["RESILIENT_BUILD_FOR"])
    two = cdk.Stack(app, "Two")
    cdk.CfnResource(two, "Odd", type=app.node.try_get_context("odd") or "AWS::SQS::Queue")
    app.synth()
""")
_CODE = textwrap.dedent("""
    import boto3, os
    def handler(event, context):
        sqs = boto3.client("sqs")
        if event.get("purge"):
            sqs.purge_queue(QueueUrl=os.environ["QUEUE"])
        return sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody="x")["MessageId"]
""")
_COMMAND = [sys.executable, "app.py"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CDK app of two stacks."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "app.py").write_text(_APP)
    (directory / "code").mkdir()
    (directory / "code" / "index.py").write_text(_CODE)
    # The CDK CLI is looked for upwards from here: the repository's own is brought within reach.
    (directory / "node_modules").symlink_to(Path(__file__).parents[2] / "node_modules")
    return directory


@pytest.fixture(autouse=True)
def _empty() -> None:
    """One deployment serves the whole module: here nothing is reset between tests."""


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws, project: Path) -> Deployment:
    """The app's first stack, deployed."""
    return deploy(local_aws, app=_COMMAND, stacks=["One"], cwd=project)


def _invoke(deployed: Deployment, payload: dict[str, Any]) -> Any:
    (function,) = deployed.templates["One"].of_type("AWS::Lambda::Function")
    answer = deployed.aws.client("lambda").invoke(
        FunctionName=deployed.physical_id(function.logical_id), Payload=json.dumps(payload)
    )
    return json.loads(answer["Payload"].read())


def test_outputs(deployed: Deployment) -> None:
    """Only the wanted stack is deployed, its outputs are read, and assets are built for this machine."""
    assert list(deployed.templates) == ["One"]
    assert deployed.output("QueueUrl").startswith("http://")
    assert deployed.output("BuildFor") == "host"
    with pytest.raises(KeyError, match="0 outputs fit 'Nothing'; there are: BuildFor, QueueUrl"):
        deployed.output("Nothing")


def test_permissions(deployed: Deployment) -> None:
    """A granted call works, an ungranted one is denied, and the proof tells it and what is unused."""
    assert _invoke(deployed, {}).count("-") == 4
    assert "AccessDenied" in _invoke(deployed, {"purge": True})["errorMessage"]
    proof = prove(deployed.aws, ["One"])
    assert {call.action for call in proof.denied if call.action.startswith("sqs:")} == {"sqs:PurgeQueue"}
    assert {grant.action for grant in proof.unused if grant.action.startswith("sqs:")} == {
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    }


def test_unknown_stack(local_aws: LocalAws, project: Path) -> None:
    """A stack that the app does not have is told with those it has."""
    with pytest.raises(LocalAwsError, match="no stack named Three; the app has: One, Two"):
        deploy(local_aws, app=_COMMAND, stacks=["Three"], cwd=project)


def test_impossible_type(local_aws: LocalAws, project: Path) -> None:
    """A resource type that the local AWS cannot make is told before anything is deployed."""
    with pytest.raises(LocalAwsError, match=r"AWS::Odd::Thing \(Two/Odd\).*no such resource type"):
        deploy(local_aws, app=_COMMAND, cwd=project, context={"odd": "AWS::Odd::Thing"})


def test_broken_app(local_aws: LocalAws, project: Path) -> None:
    """An app that does not synthesize is told with its last lines."""
    with pytest.raises(LocalAwsError, match=r"(?s)cdk synth .* failed.*ZeroDivisionError"):
        deploy(local_aws, app=[sys.executable, "-c", "1/0"], cwd=project)


def test_update_and_destroy(deployed: Deployment, project: Path) -> None:
    """Deploying again is an update, and destroying leaves no stack."""
    again = deploy(deployed.aws, app=_COMMAND, stacks=["One"], cwd=project)
    assert again.outputs == deployed.outputs
    again.destroy()
    stacks = deployed.aws.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])
    assert [stack["StackName"] for stack in stacks["StackSummaries"] if stack["StackName"] == "One"] == []
