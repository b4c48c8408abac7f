"""Probes of redrives, branches and variables of state machines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_workflows import CAUGHT, Workflows, call, caught, task

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

INVOKE = ("lambda:InvokeFunction", "*")
WAIT = {"Wait": {"Type": "Wait", "Seconds": 30, "End": True}}
PASS = {"Pass": {"Type": "Pass", "End": True}}


@pytest.fixture
def flows(local_aws: LocalAws) -> Workflows:
    """State machines on an empty account."""
    return Workflows(local_aws)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    """AWS's code."""
    return str(error.value.response["Error"]["Code"])


def test_a_redrive_continues_with_the_state_that_failed(flows: Workflows) -> None:
    """With its input and the variables; what had succeeded is not done again, and all of it is told."""
    machine = flows.machine(
        {
            "Once": {"Type": "Pass", "Assign": {"at": "{% $millis() %}"}, "Next": "Send"},
            "Send": task(
                "arn:aws:states:::sqs:sendMessage",
                {"QueueUrl": "http://localhost/000000000000/Late", "MessageBody": "x"},
                Output="{% {'at': $at, 'redrives': $states.context.Execution.RedriveCount} %}",
            ),
        },
        ("sqs:SendMessage", "*"),
    )
    events = flows.aws.client("events")
    queue = flows.aws.client("sqs").create_queue(QueueName="Told")["QueueUrl"]
    arn = flows.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    flows.aws.client("sqs").set_queue_attributes(
        QueueUrl=queue,
        Attributes={
            "Policy": json.dumps(
                {"Version": "2012-10-17", "Statement": [{**allow, "Resource": arn["Attributes"]["QueueArn"]}]}
            )
        },
    )
    events.put_rule(Name="Told", EventPattern=json.dumps({"source": ["aws.states"]}))
    events.put_targets(Rule="Told", Targets=[{"Id": "Q", "Arn": arn["Attributes"]["QueueArn"]}])

    first = flows.run(machine)
    assert first["status"] == "FAILED"
    flows.aws.client("sqs").create_queue(QueueName="Late")
    flows.states.redrive_execution(executionArn=first["executionArn"])
    again = flows.ended(first["executionArn"])
    output = flows.output(again)
    assert output["redrives"] == again["redriveCount"] == 1
    assert output["at"] / 1000 < first["stopDate"].timestamp() + 0.1
    history = flows.states.get_execution_history(executionArn=first["executionArn"])["events"]
    assert [one["type"] for one in history].count("PassStateEntered") == 1
    messages: list[Any] = []
    until = time.monotonic() + 5
    while len(messages) < 4 and time.monotonic() < until:
        received = flows.aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        messages += received.get("Messages", [])
    told = [json.loads(one["Body"])["detail"] for one in messages]
    assert [(one["status"], one["redriveCount"]) for one in told] == [
        ("RUNNING", 0),
        ("FAILED", 0),
        ("RUNNING", 1),
        ("SUCCEEDED", 1),
    ]


def test_a_redrive_of_a_fail_state_fails_again(flows: Workflows) -> None:
    """It is entered once more; and what succeeded, or is an express one, cannot be redriven at all."""
    execution = flows.run(flows.machine({"Fail": {"Type": "Fail", "Error": "GaveUp"}}))["executionArn"]
    flows.states.redrive_execution(executionArn=execution)
    told = flows.ended(execution)
    assert (told["status"], told["error"], told["redriveCount"]) == ("FAILED", "GaveUp", 1)
    done = flows.run(flows.machine(PASS, name="Done"))["executionArn"]
    express = flows.run(flows.machine({"Fail": {"Type": "Fail"}}, name="Express", kind="EXPRESS"))
    for one in (done, express["executionArn"]):
        with pytest.raises(ClientError) as error:
            flows.states.redrive_execution(executionArn=one)
        assert refusal(error) == "ExecutionNotRedrivable"


def test_branches_have_variables_of_their_own(flows: Workflows) -> None:
    """They see those around them and change none; the state's Output sees all results, in order."""

    def branch(value: int) -> dict[str, Any]:
        return {
            "StartAt": "Set",
            "States": {
                "Set": {"Type": "Pass", "Assign": {"v": "{% $v + " + str(value) + " %}"}, "Next": "End"},
                "End": {"Type": "Succeed", "Output": "{% [$states.input, $v] %}"},
            },
        }

    machine = flows.machine(
        {
            "Before": {"Type": "Pass", "Assign": {"v": 10}, "Next": "Both"},
            "Both": {
                "Type": "Parallel",
                "Arguments": "{% $states.input.n %}",
                "Branches": [branch(1), branch(2)],
                "Output": "{% {'branches': $states.result, 'v': $v} %}",
                "End": True,
            },
        }
    )
    assert flows.output(flows.run(machine, {"n": 5})) == {"branches": [[5, 11], [5, 12]], "v": 10}


def test_an_inline_map_has_bounded_concurrency(flows: Workflows, tmp_path: Path) -> None:
    """Two at a time, results in order, and an item's failure can be caught for the item alone."""
    function = flows.function(
        "Counts",
        "import os, pathlib, time\n"
        "def handler(event, context):\n"
        "    own = pathlib.Path(event['folder'], str(event['n']))\n"
        "    own.touch(); most = len(os.listdir(event['folder'])); time.sleep(0.2); own.unlink()\n"
        "    if event['n'] == 1: raise KeyError('poison')\n"
        "    return most",
    )
    state = {
        "Type": "Map",
        "Items": "{% [0..5].{'n': $, 'folder': $states.input} %}",
        "MaxConcurrency": 2,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "Call",
            "States": {"Call": call(function, Catch=caught("KeyError")), "Caught": CAUGHT},
        },
        "End": True,
    }
    found = flows.output(flows.run(flows.machine({"Map": state}, INVOKE), str(tmp_path)))
    assert found[1] == "KeyError"
    assert max(one for one in found if one != "KeyError") <= 2
    assert len(found) == 6


def test_an_assign_sees_the_variables_as_they_were(flows: Workflows) -> None:
    """Two of them can change places."""
    machine = flows.machine(
        {
            "Before": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Change"},
            "Change": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "End"},
            "End": {"Type": "Succeed", "Output": "{% [$a, $b] %}"},
        }
    )
    assert flows.output(flows.run(machine)) == [2, 1]


def test_a_choice_that_takes_its_default_has_an_output(flows: Workflows) -> None:
    """The state's own; a rule that holds has its own as well."""
    states = {
        "Which": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input > 1 %}", "Output": "many", "Next": "End"}],
            "Output": "{% 'one of ' & $string($states.input) %}",
            "Default": "End",
        },
        "End": {"Type": "Succeed"},
    }
    machine = flows.machine(states)
    assert [flows.output(flows.run(machine, n)) for n in (1, 2)] == ["one of 1", "many"]
