"""The definition, as it is written: what every state machine of ours has, whatever its plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from machine_runs import plan, work
from resilient_runtime.breaker import BreakerPolicy

from resilient_constructs.breaker_workflow.machine import (
    Constant,
    MachinePlan,
    PlatformRetry,
    RetryRule,
    WorkTask,
    definition,
    transitions_of_success,
)
from resilient_constructs.testing.states import StateMachine, faults_of

FALLBACK = WorkTask(
    resource="arn:aws:states:::events:putEvents",
    arguments={"Entries": [{"Detail": "{% $failure %}"}]},
    timeout_seconds=5,
    platform_retries=(PlatformRetry(errors=("EventBridge.ThrottlingException",)),),
)
PLANS = {
    "queue": plan(),
    "wait": plan(parking="WAIT", parked_queue_url=None),
    "express": plan(kind="EXPRESS", timeout_seconds=300),
    "slow": plan(policy=BreakerPolicy(slow_call_seconds=5)),
    "result": plan(work=work(error_of_result="$states.result.StatusCode >= 500 ? 'Broken' : ''")),
    "once": plan(retries=()),
    "fallback": plan(fallback=FALLBACK),
    "constant": plan(fallback=Constant(value={"pages": []})),
    "constant, waiting": plan(fallback=Constant(value=1), parking="WAIT"),
    "unguarded": plan(downstream=None, table=None, policy=None),
    "unguarded once": plan(downstream=None, table=None, policy=None, retries=()),
    "unguarded result": plan(
        downstream=None, table=None, policy=None, work=work(error_of_result="$states.result.error")
    ),
}
every_plan = pytest.mark.parametrize("name", PLANS)
RETRIED = ("States.ALL", "States.TaskFailed")


def states_of(name: str) -> dict[str, Any]:
    """The states of a plan's machine."""
    states: dict[str, Any] = definition(PLANS[name])["States"]
    return states


def tasks_of(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Its tasks."""
    return ((state, body) for state, body in states_of(name).items() if body["Type"] == "Task")


@every_plan
def test_the_definition_has_no_fault(name: str) -> None:
    """Every state is reached, goes on to one that is there, comes to an end, and has JSONata that parses."""
    assert faults_of(definition(PLANS[name])) == []


@every_plan
def test_cfn_lint_knows_every_field(name: str) -> None:
    """cfn-lint's schema of the states language finds nothing."""
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "Definition": definition(PLANS[name]),
        "StateMachineType": PLANS[name].kind,
    }
    template = {
        "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    }
    found = lint(json.dumps(template), config=ManualArgs(regions=["eu-west-1"]))
    assert [str(one) for one in found if one.rule.id == "E3601"] == []


@every_plan
def test_no_task_is_without_retry_catch_and_timeout(name: str) -> None:
    """Each Task is tried again with full jitter and a cap, ends some day, and has a catch-all."""
    for state, task in tasks_of(name):
        assert task["TimeoutSeconds"] >= 1, state
        assert task["Retry"], state
        for retry in task["Retry"]:
            assert retry["JitterStrategy"] == "FULL", state
            assert retry["MaxAttempts"] >= 1, state
            assert retry["IntervalSeconds"] < retry["MaxDelaySeconds"], state
        assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"], state


@every_plan
def test_what_states_all_does_not_catch_is_caught_by_name(name: str) -> None:
    """Tasks that carry the user's data catch States.DataLimitExceeded, which the catch-all does not."""
    for state, task in tasks_of(name):
        if "dynamodb" not in task["Resource"]:
            caught = [error for catcher in task["Catch"] for error in catcher["ErrorEquals"]]
            assert "States.DataLimitExceeded" in caught, state


@every_plan
def test_the_retries_of_every_task_are_these(name: str) -> None:
    """The work's own errors are never tried again natively, and a count that may have been made never is."""
    for state, task in tasks_of(name):
        errors = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        if task["Resource"].endswith("sqs:sendMessage"):
            assert errors == {"States.ALL"}, state
        elif "dynamodb" in task["Resource"]:
            assert errors == {
                "DynamoDB.ProvisionedThroughputExceededException",
                "DynamoDB.RequestLimitExceeded",
                "DynamoDB.RequestLimitExceededException",
                "DynamoDB.ThrottlingException",
            }, state
        elif state == "Fallback":
            assert errors == {"EventBridge.ThrottlingException"}, state
        else:
            assert errors == {"Lambda.ServiceException"}, state


@every_plan
def test_the_machine_itself_ends_some_day(name: str) -> None:
    """An execution has a timeout, and is JSONata from end to end."""
    made = definition(PLANS[name])
    assert made["TimeoutSeconds"] == PLANS[name].timeout_seconds
    assert made["QueryLanguage"] == "JSONata"
    assert "QueryLanguage" not in json.dumps(made["States"])


@every_plan
def test_definitions_stay_small(name: str) -> None:
    """A definition has a tenth of the megabyte that it may have, an expression at most eight kilobytes."""
    made = definition(PLANS[name])
    assert len(json.dumps(made)) < 100_000
    texts = [text for text in json.dumps(made).split('"') if text.startswith("{%")]
    assert max(len(text) for text in texts) < 8_192


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("queue", ["Read", "Decide", "Call"]),
        ("wait", ["Read", "Decide", "Call"]),
        ("fallback", ["Read", "Decide", "Call"]),
        ("slow", ["Read", "Decide", "CallAndTell", "Outcome", "Done"]),
        ("result", ["Read", "Decide", "CallAndTell", "Outcome", "Done"]),
        ("unguarded", ["Begin", "Call"]),
        ("unguarded result", ["Begin", "Call", "Outcome", "Done"]),
    ],
)
def test_a_call_that_goes_well_costs_these_transitions(name: str, states: list[str]) -> None:
    """Three as a rule: 75 USD per million beside the 25 of one that only calls; nothing is written."""
    asked: list[str] = []

    def answer(call: Any) -> Any:
        asked.append(call.resource)
        return {"Payload": 1, "StatusCode": 200, "error": ""} if "lambda" in call.resource else {}

    resources = {task["Resource"] for _, task in tasks_of(name)}
    execution = StateMachine(definition(PLANS[name])).run(None, dict.fromkeys(resources, answer))
    assert execution.status == "SUCCEEDED"
    assert execution.visited == states
    assert execution.transitions == transitions_of_success(PLANS[name])
    assert not [resource for resource in asked if "updateItem" in resource]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"kind": "EXPRESS", "parking": "WAIT", "timeout_seconds": 301},
            ["parking", "WAIT", "timeout_seconds", "301"],
        ),
        ({"kind": "EXPRESS", "timeout_seconds": 300, "work": work(resource="arn:x.sync:2")}, [".sync"]),
        ({"table": None, "policy": None, "parked_queue_url": None}, ["table", "policy", "parked_queue_url"]),
        ({"timeout_seconds": 30}, ["work.timeout_seconds", "60", "30"]),
        ({"work": work(heartbeat_seconds=60)}, ["heartbeat_seconds"]),
        ({"work": work(platform_retries=())}, ["platform_retries"]),
        ({"work": work(platform_retries=(PlatformRetry(errors=("States.ALL",)),))}, ["States.ALL"]),
        (
            {
                "work": work(
                    platform_retries=(PlatformRetry(errors=("x",), interval_seconds=9, longest_seconds=9),)
                )
            },
            ["longest_seconds", "9"],
        ),
        (
            {"retries": (RetryRule(errors=(), attempts=-1, interval_seconds=-1, backoff_rate=0),)},
            ["retries.errors", "retries.attempts", "retries.interval_seconds", "retries.backoff_rate"],
        ),
        ({"keep_parked_seconds": 1, "most_failed_probes": 0}, ["keep_parked_seconds", "most_failed_probes"]),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_all_its_faults(
    changes: dict[str, Any], words: list[str]
) -> None:
    """The error names each value, and AWS's page."""
    with pytest.raises(ValueError, match="MachinePlan") as refused:
        definition(plan(**changes))
    assert all(word in str(refused.value) for word in (*words, "https://docs.aws.amazon.com/"))


# https://docs.jsonata.org/2.0.0/overview, and what Step Functions adds
BUILT_IN = frozenset(
    """
    string length substring substringBefore substringAfter uppercase lowercase trim pad contains split join
    match replace eval base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl
    number abs floor ceil round power sqrt random formatNumber formatBase formatInteger parseInteger sum max
    min average boolean not exists count append sort reverse shuffle distinct zip keys lookup spread merge
    sift each error assert type now millis fromMillis toMillis map filter single reduce partition range hash
    uuid parse states clone
    """.split()  # noqa: SIM905  a list of quoted words would be a page long
)


@every_plan
def test_no_variable_hides_a_function(name: str) -> None:
    """A variable that is named like a function of JSONata's would be one and not the other, some day."""
    text = json.dumps(definition(PLANS[name]))
    local = set(re.findall(r"\$(\w+) :=", text))
    assigned = {
        variable
        for state in states_of(name).values()
        for part in (state, *state.get("Choices", ()), *state.get("Catch", ()))
        for variable in part.get("Assign", ())
    }
    assert not (local | assigned) & BUILT_IN


def test_tokens_pass_through() -> None:
    """Names that are known at deployment only are put in as they are."""
    made: MachinePlan = plan(
        table="${Token[TABLE.1]}",
        partition="${Token[AWS.Partition.2]}",
        dead_letter_queue_url="${Token[Q.3]}",
    )
    text = json.dumps(definition(made))
    assert "arn:${Token[AWS.Partition.2]}:states:::dynamodb:getItem" in text
    assert '"TableName": "${Token[TABLE.1]}"' in text
    assert '"QueueUrl": "${Token[Q.3]}"' in text
