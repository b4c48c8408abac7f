"""Probes of state machines: names, ends, errors, retries, roles, redrives."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_workflows import CAUGHT, Workflows, call, caught, statuses, task

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


def test_the_same_name_is_the_same_execution(flows: Workflows) -> None:
    """While it runs and the input is the same; otherwise the name is taken."""
    machine = flows.machine(WAIT)
    first = flows.start(machine, 1, name="order-7")
    assert flows.start(machine, 1, name="order-7") == first
    with pytest.raises(ClientError) as error:
        flows.start(machine, 2, name="order-7")
    assert refusal(error) == "ExecutionAlreadyExists"
    flows.states.stop_execution(executionArn=first)
    with pytest.raises(ClientError) as error:
        flows.start(machine, 1, name="order-7")
    assert refusal(error) == "ExecutionAlreadyExists"


def test_express_executions_may_share_a_name(flows: Workflows) -> None:
    """Each of them runs."""
    machine = flows.machine(PASS, kind="EXPRESS")
    executions = {flows.start(machine, 1, name="order-7") for _ in range(3)}
    assert len(executions) == 3
    assert statuses([flows.ended(one) for one in executions]) == {"SUCCEEDED"}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"name": "a.b:c"}, "InvalidName"),
        ({"name": "a b"}, "InvalidName"),
        ({"input": "{"}, "InvalidExecutionInput"),
        ({"input": '{"x":NaN}'}, "InvalidExecutionInput"),
        ({"input": json.dumps("x" * 262_144)}, "ValidationException"),
    ],
)
def test_what_cannot_be_started_is_refused(flows: Workflows, more: dict[str, str], code: str) -> None:
    """With AWS's code for a bad name, for no JSON, and for too much of it."""
    with pytest.raises(ClientError) as error:
        flows.states.start_execution(stateMachineArn=flows.machine(PASS), **more)
    assert refusal(error) == code


def test_a_state_machines_timeout_ends_an_execution(flows: Workflows) -> None:
    """Wherever it is, and it can be redriven."""
    told = flows.run(flows.machine(WAIT, TimeoutSeconds=1))
    assert (told["status"], told["error"]) == ("TIMED_OUT", "States.Timeout")
    assert (told["redriveStatus"], told["redriveCount"]) == ("REDRIVABLE", 0)


def test_a_stopped_execution_goes_no_further(flows: Workflows) -> None:
    """A wait ends with it, and what would follow is not done."""
    queue = flows.aws.client("sqs").create_queue(QueueName="After")["QueueUrl"]
    send = task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": queue, "MessageBody": "x"})
    machine = flows.machine(
        {"Wait": {"Type": "Wait", "Seconds": 1, "Next": "Send"}, "Send": send}, ("sqs:SendMessage", "*")
    )
    execution = flows.start(machine)
    flows.states.stop_execution(executionArn=execution)
    time.sleep(1.3)
    assert flows.ended(execution)["status"] == "ABORTED"
    assert not flows.aws.client("sqs").receive_message(QueueUrl=queue).get("Messages")


def test_a_task_may_do_what_the_role_may(flows: Workflows) -> None:
    """A table that is granted is read, one that is not is an error of its service."""
    dynamodb = flows.aws.client("dynamodb")
    for name in ("Granted", "Other"):
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    get = "arn:aws:states:::dynamodb:getItem"
    key = {"name": {"S": "a"}}
    machine = flows.machine(
        {
            "Read": task(get, {"TableName": "Granted", "Key": key}, Next="Refused"),
            "Refused": task(
                get, {"TableName": "Other", "Key": key}, Catch=caught("DynamoDB.AmazonDynamoDBException")
            ),
            "Caught": CAUGHT,
        },
        ("dynamodb:GetItem", "arn:aws:dynamodb:*:*:table/Granted"),
    )
    began = time.time()
    assert flows.output(flows.run(machine)) == "DynamoDB.AmazonDynamoDBException"
    calls = [one for one in flows.aws.calls() if one.at >= began and one.action == "dynamodb:GetItem"]
    assert [(one.allowed, one.resource.rpartition("/")[2]) for one in calls] == [
        (True, "Granted"),
        (False, "Other"),
    ]


def test_a_conditional_update_and_its_values(flows: Workflows) -> None:
    """The values after it are the result; a condition that does not hold is an error of its own."""
    flows.aws.client("dynamodb").create_table(
        TableName="Circuits",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    update: dict[str, Any] = {
        "TableName": "Circuits",
        "Key": {"name": {"S": "a"}},
        "UpdateExpression": "ADD failures :one SET #v = :version",
        "ConditionExpression": "attribute_not_exists(#v) OR #v < :version",
        "ExpressionAttributeNames": {"#v": "version"},
        "ExpressionAttributeValues": {":one": {"N": "1"}, ":version": {"N": "{% $string($v) %}"}},
        "ReturnValues": "ALL_NEW",
    }
    resource = "arn:aws:states:::dynamodb:updateItem"
    machine = flows.machine(
        {
            "Set": {"Type": "Pass", "Assign": {"v": 3}, "Next": "Once"},
            "Once": task(
                resource,
                update,
                Assign={"n": "{% $number($states.result.Attributes.failures.N) %}"},
                Next="Twice",
            ),
            "Twice": task(
                resource,
                update,
                Catch=[
                    {
                        "ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"],
                        "Output": "{% $n %}",
                        "Next": "Caught",
                    }
                ],
            ),
            "Caught": CAUGHT,
        },
        ("dynamodb:UpdateItem", "*"),
    )
    assert flows.output(flows.run(machine)) == 1


def test_a_retrys_delay_has_an_end(flows: Workflows) -> None:
    """Without MaxDelaySeconds the second retry would come after twenty seconds."""
    retry = {
        "ErrorEquals": ["ValueError"],
        "IntervalSeconds": 1,
        "BackoffRate": 20,
        "MaxDelaySeconds": 2,
        "MaxAttempts": 2,
        "JitterStrategy": "FULL",
    }
    function = flows.function("Fails", "def handler(event, context):\n    raise ValueError(event)")
    machine = flows.machine(
        {"Call": call(function, Retry=[retry], Catch=caught("States.ALL")), "Caught": CAUGHT}, INVOKE
    )
    began = time.monotonic()
    assert flows.output(flows.run(machine)) == "ValueError"
    assert time.monotonic() - began < 10


def test_nobody_catches_too_much_data_by_a_wildcard(flows: Workflows) -> None:
    """By its name it can be caught."""
    function = flows.function("Large", "def handler(event, context):\n    return 'x' * 300_000")
    wild = flows.machine(
        {"Call": call(function, Catch=caught("States.ALL")), "Caught": CAUGHT}, INVOKE, name="Wild"
    )
    named = flows.machine(
        {"Call": call(function, Catch=caught("States.DataLimitExceeded")), "Caught": CAUGHT},
        INVOKE,
        name="Named",
    )
    assert flows.run(wild)["error"] == "States.DataLimitExceeded"
    assert flows.output(flows.run(named)) == "States.DataLimitExceeded"


def test_a_killed_worker_is_an_error_with_a_name(flows: Workflows) -> None:
    """As on AWS when a process ends in the middle; the execution goes on."""
    function = flows.function("Dies", "import os\ndef handler(event, context):\n    os.kill(os.getpid(), 9)")
    machine = flows.machine(
        {"Call": call(function, Catch=caught("Runtime.ExitError")), "Caught": CAUGHT}, INVOKE
    )
    assert flows.output(flows.run(machine)) == "Runtime.ExitError"


def test_a_throttled_function_is_an_error_with_a_name(flows: Workflows) -> None:
    """One that may have no environment at all is throttled always."""
    function = flows.function("Throttled", "def handler(event, context):\n    pass")
    flows.aws.client("lambda").put_function_concurrency(
        FunctionName="Throttled", ReservedConcurrentExecutions=0
    )
    machine = flows.machine(
        {"Call": call(function, Catch=caught("Lambda.TooManyRequestsException")), "Caught": CAUGHT}, INVOKE
    )
    assert flows.output(flows.run(machine)) == "Lambda.TooManyRequestsException"


def test_killing_workers_loses_no_execution(flows: Workflows, tmp_path: Path) -> None:
    """Twenty executions while all processes that work for them are killed; each succeeds in the end."""
    function = flows.function(
        "Works",
        "import os, pathlib, time\n"
        "def handler(event, context):\n"
        "    pathlib.Path(event['folder'], str(os.getpid())).touch()\n"
        "    time.sleep(3)\n"
        "    return 'done'",
        Timeout=30,
    )
    retry = {"ErrorEquals": ["Runtime.ExitError"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 9}
    machine = flows.machine(
        {"Call": call(function, Retry=[retry], Output="{% $states.context.State.RetryCount %}")}, INVOKE
    )
    executions = [flows.start(machine, {"folder": str(tmp_path)}) for n in range(20)]
    until = time.monotonic() + 10
    while len(list(tmp_path.iterdir())) < 5 and time.monotonic() < until:
        time.sleep(0.02)
    for worker in tmp_path.iterdir():
        with suppress(ProcessLookupError):
            os.kill(int(worker.name), signal.SIGKILL)
    retries = [flows.output(flows.ended(one, within=60)) for one in executions]
    assert sum(retries) >= 5


def test_a_task_that_falls_silent(flows: Workflows) -> None:
    """No heartbeat for a second fails it, long before its timeout, and a timeout's Catch takes that too."""
    queue = flows.aws.client("sqs").create_queue(QueueName="Tokens")["QueueUrl"]
    waits = task(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        {"QueueUrl": queue, "MessageBody": {"token": "{% $states.context.Task.Token %}"}},
        HeartbeatSeconds=1,
        TimeoutSeconds=60,
        Catch=caught("States.Timeout"),
    )
    execution = flows.start(flows.machine({"Wait": waits, "Caught": CAUGHT}, ("sqs:SendMessage", "*")))
    until = time.monotonic() + 2
    while not (sent := flows.aws.client("sqs").receive_message(QueueUrl=queue).get("Messages")):
        assert time.monotonic() < until
    token = json.loads(sent[0]["Body"])["token"]
    for _ in range(4):
        time.sleep(0.4)
        flows.states.send_task_heartbeat(taskToken=token)
    assert flows.states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    assert flows.output(flows.ended(execution)) == "States.HeartbeatTimeout"


def test_a_nested_workflow(flows: Workflows) -> None:
    """Its output is JSON; when it fails, the task has failed, with its description."""
    inner = flows.machine(
        {"Add": {"Type": "Pass", "Output": "{% {'sum': $states.input.a + 1} %}", "End": True}}, name="Inner"
    )
    fails = flows.machine({"Fail": {"Type": "Fail", "Error": "Unreadable"}}, name="Fails")
    nested = "arn:aws:states:::states:startExecution.sync:2"
    given = {"StateMachineArn": inner, "Input": "{% $states.input %}"}
    outer = flows.machine(
        {"Nest": task(nested, given, Output="{% $states.result.Output.sum %}")},
        ("states:StartExecution", inner),
        name="Outer",
    )
    catches = flows.machine(
        {
            "Nest": task(
                nested,
                {"StateMachineArn": fails},
                Catch=[
                    {
                        "ErrorEquals": ["States.TaskFailed"],
                        "Output": "{% $parse($states.errorOutput.Cause).Error %}",
                        "Next": "Caught",
                    }
                ],
            ),
            "Caught": CAUGHT,
        },
        ("states:StartExecution", fails),
        name="Catches",
    )
    assert flows.output(flows.run(outer, {"a": 1})) == 2
    assert flows.output(flows.run(catches)) == "Unreadable"
