"""``resilient redrive`` against the local AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from resilient_constructs.local import LocalAws
from resilient_constructs.operate.redrive_command import redrive
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
MAY_SEND = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}],
}


def run(*arguments: str) -> list[dict[str, Any]]:
    """What the command tells programs."""
    app = Typer()
    app.command()(redrive)
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def ended(states: Any, execution: str) -> dict[str, Any]:
    """The execution, once it is over."""
    states_of: dict[str, Any] = {"status": "RUNNING"}
    while states_of["status"] == "RUNNING":
        states_of = dict(states.describe_execution(executionArn=execution))
    return states_of


def test_each_execution_is_run_again_in_the_way_that_helps(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose queue was away goes on in the middle; one that gave up begins anew, once for two orders."""
    for name, value in local_aws.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    iam, states = local_aws.client("iam"), local_aws.client("stepfunctions")
    role = iam.create_role(RoleName="States", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="States", PolicyName="Send", PolicyDocument=json.dumps(MAY_SEND))
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": "http://localhost/000000000000/Late", "MessageBody": "x"},
        "End": True,
    }
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Which",
        "States": {
            "Which": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input.poison %}", "Next": "GaveUp"}],
                "Default": "Send",
            },
            "Send": send,
            "GaveUp": {"Type": "Fail", "Error": "Unreadable"},
        },
    }
    machine = states.create_state_machine(name="M", definition=json.dumps(definition), roleArn=role)[
        "stateMachineArn"
    ]
    stopped, gave_up = (
        states.start_execution(stateMachineArn=machine, name=name, input=json.dumps({"poison": poison}))
        for name, poison in (("stopped", False), ("gave-up", True))
    )
    for one in (stopped, gave_up):
        assert ended(states, one["executionArn"])["status"] == "FAILED"
    local_aws.client("sqs").create_queue(QueueName="Late")
    since = ["--state-machine", machine, "--failed-since", "1h"]
    planned = {one["execution"].rpartition(":")[2]: one["way"] for one in run(*since, "--dry-run")}
    assert planned == {"stopped": "redrive", "gave-up": "new execution"}
    done = {one["execution"].rpartition(":")[2]: one for one in run(*since, "--reason", "it is back")}
    assert [one["done"] for one in done.values()] == [True, True]
    assert ended(states, stopped["executionArn"])["status"] == "SUCCEEDED"
    again = gave_up["executionArn"].replace(":gave-up", f":{done['gave-up']['new_execution']}")
    assert ended(states, again)["input"] == '{"poison": true}'
    assert ended(states, again)["error"] == "Unreadable"
