"""The state machines as they stand in the template: nothing without an end, a retry and a catch-all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk.assertions import Template
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from workflow_kinds import (
    EXPRESS_KINDS,
    KINDS,
    machines_in,
    make_downstream,
    make_function,
    states_of,
)

from resilient_constructs import BreakerWorkflow, Parking, Work

FORMS = [
    *(f"{kind}" for kind in KINDS),
    *(f"express {kind}" for kind in EXPRESS_KINDS),
    "waiting",
    "unguarded",
    "with a fallback",
    "with a constant",
]


@cache
def machine(form: str) -> Mapping[str, Any]:
    """The definition of one form of workflow, as it is deployed."""
    stack = Stack(App(), "Shop")
    given: dict[str, Any] = {"downstream": make_downstream(stack)}
    kind = form.removeprefix("express ")
    if form == "waiting":
        given["parking"] = Parking.WAIT
    elif form == "unguarded":
        del given["downstream"]
    elif form == "with a fallback":
        given["fallback"] = Work.function(make_function(stack, "Instead"), timeout=Duration.seconds(9))
    elif form == "with a constant":
        given["fallback"] = {"pages": [], "because": "{% $failure.error %}"}
    work = KINDS.get(kind, KINDS["a_function"])(stack)
    BreakerWorkflow(stack, "Analyse", work=work, express=form.startswith("express"), **given)
    template = Template.from_stack(stack).to_json()
    ((_, found),) = machines_in(template)
    return dict(found)


def tasks_of(form: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every Task state of a form."""
    return ((name, state) for name, state in states_of(machine(form)) if state["Type"] == "Task")


every_form = pytest.mark.parametrize("form", FORMS)


@every_form
def test_a_machine_ends_some_day(form: str) -> None:
    """The whole execution has a timeout, an Express one no more than five minutes."""
    limit = 300 if form.startswith("express") else 31_536_000
    assert 0 < machine(form)["TimeoutSeconds"] <= limit


@every_form
def test_every_task_ends_some_day(form: str) -> None:
    """Each Task has a timeout within the execution's own."""
    tasks = dict(tasks_of(form))
    assert tasks
    for name, state in tasks.items():
        assert 0 < state["TimeoutSeconds"] <= machine(form)["TimeoutSeconds"], name


@every_form
def test_work_that_can_tell_that_it_lives_has_to(form: str) -> None:
    """Each Task that waits for a token has a heartbeat, shorter than its timeout."""
    waiting = [state for _, state in tasks_of(form) if ".waitForTaskToken" in state["Resource"]]
    assert bool(waiting) == (form in ("a_callback", "a_heard_task"))
    assert all(state["HeartbeatSeconds"] < state["TimeoutSeconds"] for state in waiting)


@every_form
def test_every_task_is_tried_again_jittered_and_not_for_ever(form: str) -> None:
    """Each Task has retries, each of them with an end, a cap and full jitter."""
    for name, state in tasks_of(form):
        assert state["Retry"], name
        for retry in state["Retry"]:
            assert 0 < retry["MaxAttempts"] <= 20, name
            assert retry["BackoffRate"] >= 1, name
            assert retry["MaxDelaySeconds"] >= retry["IntervalSeconds"], name
            assert retry["JitterStrategy"] == "FULL", name


@every_form
def test_no_machine_is_without_a_catch_all(form: str) -> None:
    """Each Task's last catcher takes every error that can be caught, and leads to a state that exists."""
    names = set(machine(form)["States"])
    for name, state in tasks_of(form):
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert {catch["Next"] for catch in state["Catch"]} <= names, name


@every_form
def test_the_works_own_errors_are_not_tried_again_by_the_platform(form: str) -> None:
    """The work's Task retries nothing that the breaker should have seen."""
    calls = [state for name, state in tasks_of(form) if name in ("Call", "CallAndTell")]
    retried = {error for call in calls for retry in call["Retry"] for error in retry["ErrorEquals"]}
    assert retried
    assert not retried & {"States.ALL", "States.TaskFailed", "States.Timeout", "Reject"}


@every_form
def test_what_is_given_up_is_sent_and_fails(form: str) -> None:
    """There are states that send to the dead letters and fail, unless a constant stands in for the work."""
    senders = [state for _, state in tasks_of(form) if state["Resource"].endswith(":sqs:sendMessage")]
    urls = {state["Arguments"]["QueueUrl"] for state in senders}
    assert any("ParkedQueue" in url for url in urls) == (form not in ("unguarded", "waiting"))
    gives_up = form != "with a constant"
    assert any("DeadLetterQueue" in url for url in urls) == gives_up
    assert any(state["Type"] == "Fail" for _, state in states_of(machine(form))) == gives_up


@every_form
def test_the_schema_of_the_language_holds(form: str) -> None:
    """cfn-lint, which knows the states language, finds nothing in the definition as AWS gets it."""
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "StateMachineType": "EXPRESS" if form.startswith("express") else "STANDARD",
        "DefinitionString": json.dumps(machine(form)),
    }
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = {"Resources": {"Machine": resource}}
    found = lint(json.dumps(template), config=ManualArgs(regions=["eu-central-1"]))
    assert [f"{one.rule.id} {one.message}" for one in found if one.rule.id == "E3601"] == []


def test_the_schema_finds_a_planted_fault() -> None:
    """A state that nobody defined is found, so the check above holds something."""
    broken = {**machine("a_function"), "StartAt": "Nowhere"}
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/r", "DefinitionString": json.dumps(broken)}
    template = {
        "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    }
    found = lint(json.dumps(template), config=ManualArgs(regions=["eu-central-1"]))
    assert "E3601" in {one.rule.id for one in found}


@every_form
def test_a_definition_is_no_larger_than_step_functions_takes(form: str) -> None:
    """A definition may have a megabyte; ours has a tenth of it at most.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    assert len(json.dumps(machine(form), separators=(",", ":"))) < 100_000
