"""A workflow's share of its downstream, what it lets others do, and what it measures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from workflow_kinds import (
    a_function,
    actions_of,
    make_downstream,
    make_function,
    statements_of,
)

from resilient_constructs import BreakerWorkflow, Downstream, Work

FOURTEEN_DAYS = 14 * 86_400


def built(**given: Any) -> dict[str, Any]:
    """The template of one workflow, the downstream's included unless another is given."""
    stack = Stack(App(), "Shop")
    if "downstream" not in given:
        given["downstream"] = make_downstream(stack)
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), **given)
    return dict(Template.from_stack(stack).to_json())


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template of a workflow of a function behind a downstream with a breaker; nobody changes it."""
    return built()


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The workflow's own resources of a type, by logical ID."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind and name.startswith("Analyse")
    }


def test_it_counts_against_its_downstream() -> None:
    """Its calls are registered, so that synth adds them up with everybody else's."""
    stack = Stack(App(), "Shop")
    ocr = make_downstream(stack)
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=ocr, max_concurrency=20)
    assert ocr.registered_concurrency == 20


def test_a_consumer_and_a_workflow_share_the_rate() -> None:
    """Two workflows with half of the calls each start half of the rate each."""
    stack = Stack(App(), "Shop")
    ocr = make_downstream(stack)
    work = a_function(stack)
    for name in ("Analyse", "Archive"):
        BreakerWorkflow(stack, name, work=work, downstream=ocr)
    template = Template.from_stack(stack).to_json()
    (starter,) = of_type(template, "AWS::Lambda::Function").values()
    assert starter["Environment"]["Variables"]["RESILIENT_STARTS_PER_SECOND"] == "0.5"


def test_another_stacks_downstream_needs_no_circle() -> None:
    """A workflow uses the circuit of a downstream that another stack declares."""
    app = App()
    ocr = make_downstream(Stack(app, "Shared"))
    stack = Stack(app, "Shop")
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=ocr)
    machines = json.dumps(
        of_type(dict(Template.from_stack(stack).to_json()), "AWS::StepFunctions::StateMachine")
    )
    assert "Fn::ImportValue" in machines
    assert "Shared:ExportsOutput" in machines


def test_grants_are_for_one_thing_each() -> None:
    """Sending, starting, redriving and reading claims are granted one by one."""
    stack = Stack(App(), "Shop")
    made = BreakerWorkflow(stack, "Analyse", work=a_function(stack))
    for name, grant, action in (
        ("Sender", made.grant_send_messages, "sqs:SendMessage"),
        ("Starter", made.grant_start_execution, "states:StartExecution"),
        ("Redriver", made.grant_redrive, "states:RedriveExecution"),
        ("Reader", made.grant_read_claims, "s3:GetObject"),
    ):
        function = make_function(stack, name)
        grant(function)
        template = Template.from_stack(stack).to_json() if name == "Reader" else None
        if template is not None:
            assert actions_of(statements_of(template, "SenderServiceRole")) == {"sqs:SendMessage"}
            assert actions_of(statements_of(template, "RedriverServiceRole")) == {
                "states:DescribeExecution",
                "states:DescribeStateMachine",
                "states:GetExecutionHistory",
                "states:ListExecutions",
                "states:RedriveExecution",
                "states:StartExecution",
            }
            assert action in actions_of(statements_of(template, "ReaderServiceRole"))


def test_its_metrics_are_those_of_its_own_machine() -> None:
    """Each metric method answers with the CDK's metric of this workflow's own resource."""
    stack = Stack(App(), "Shop")
    made = BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack))
    names = {
        made.metric_started: "ExecutionsStarted",
        made.metric_succeeded: "ExecutionsSucceeded",
        made.metric_failed: "ExecutionsFailed",
        made.metric_timed_out: "ExecutionsTimedOut",
        made.metric_throttled: "ExecutionThrottled",
        made.metric_time: "ExecutionTime",
        made.metric_waiting: "ApproximateNumberOfMessagesVisible",
        made.metric_oldest_work_age: "ApproximateAgeOfOldestMessage",
        made.metric_parked: "ApproximateNumberOfMessagesVisible",
        made.metric_dead_letters: "ApproximateNumberOfMessagesVisible",
    }
    assert {metric().metric_name for metric in names} == set(names.values())
    assert made.metric_time().statistic == "p99"
    unguarded = BreakerWorkflow(stack, "Plain", work=Work.function(make_function(stack)))
    with pytest.raises(ValueError, match="parks nothing in a queue"):
        unguarded.metric_parked()


def test_handlers_of_the_runtime_need_no_folder() -> None:
    """The starter has no asset of its own: its code is in the layer that all functions have."""
    template = built(downstream=None)
    (starter,) = of_type(template, "AWS::Lambda::Function").values()
    assert set(starter["Code"]) == {"ZipFile"}
    assert starter["Handler"] == "resilient_runtime.entry.handler"
    assert starter["Layers"]


def test_a_downstream_without_a_breaker_only_paces() -> None:
    """Its rate holds, and nothing asks a circuit that is not there."""
    stack = Stack(App(), "Shop")
    slow = Downstream(stack, "Slow", requests_per_second=1)
    made = BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=slow)
    assert made.starts_per_second == 1
    assert made.parked_queue is None
    template = dict(Template.from_stack(stack).to_json())
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert "dynamodb" not in json.dumps(machine)
