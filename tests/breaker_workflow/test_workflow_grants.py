"""A workflow's share of its downstream, what it lets others do, and what it measures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from workflow_kinds import (
    a_function,
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
    """Sending, starting, redriving, reading, answering: granted one by one, each on its own resource."""
    stack = Stack(App(), "Shop")
    key = kms.Key(stack, "Key")
    made = BreakerWorkflow(
        stack,
        "Analyse",
        work=Work.function(make_function(stack)),
        claims=s3.Bucket(stack, "Large", encryption_key=key),
    )
    for name, grant in (
        ("Sender", made.grant_send_messages),
        ("Beginner", made.grant_start_execution),
        ("Redriver", made.grant_redrive),
        ("Reader", made.grant_read_claims),
    ):
        assert isinstance(grant(make_function(stack, name)), iam.Grant)
    role = iam.Role(stack, "Teller", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    assert isinstance(made.grant_task_response(role), iam.Grant)
    template = Template.from_stack(stack).to_json()

    def arn(kind: str, beginning: str) -> dict[str, Any]:
        (name,) = (
            name
            for name, one in template["Resources"].items()
            if one["Type"] == kind and name.startswith(beginning)
        )
        return {"Fn::GetAtt": [name, "Arn"]}

    queue = arn("AWS::SQS::Queue", "AnalyseQueue")
    bucket = arn("AWS::S3::Bucket", "Large")
    machine = {"Ref": arn("AWS::StepFunctions::StateMachine", "Analyse")["Fn::GetAtt"][0]}
    execution = _execution_of(machine)
    objects = {"Fn::Join": ["", [bucket, "/work/*"]]}
    assert _allowed(template, "SenderServiceRole") == [("sqs:SendMessage", queue)]
    assert _allowed(template, "BeginnerServiceRole") == [("states:StartExecution", machine)]
    assert _allowed(template, "RedriverServiceRole") == [
        ("states:DescribeStateMachine", machine),
        ("states:ListExecutions", machine),
        ("states:StartExecution", machine),
        ("states:DescribeExecution", execution),
        ("states:GetExecutionHistory", execution),
        ("states:RedriveExecution", execution),
    ]
    assert _allowed(template, "ReaderServiceRole") == [
        ("s3:GetObject", objects),
        ("s3:ListBucket", bucket),
        ("kms:Decrypt", arn("AWS::KMS::Key", "Key")),
    ]
    assert _allowed(template, "AnalyseTaskResponsePolicy") == [
        ("states:SendTaskFailure", machine),
        ("states:SendTaskHeartbeat", machine),
        ("states:SendTaskSuccess", machine),
    ]


def _allowed(template: Mapping[str, Any], beginning: str) -> list[tuple[str, object]]:
    """Every action of these policies with its resource, in order."""
    return [
        (action, one["Resource"])
        for one in statements_of(template, beginning)
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    ]


def _execution_of(machine: Mapping[str, str]) -> dict[str, Any]:
    name = {"Fn::Select": [6, {"Fn::Split": [":", machine]}]}
    parts = ["arn:", {"Ref": "AWS::Partition"}, ":states:", {"Ref": "AWS::Region"}, ":"]
    return {"Fn::Join": ["", [*parts, {"Ref": "AWS::AccountId"}, ":execution:", name, ":*"]]}


def test_its_metrics_are_those_of_its_own_machine() -> None:
    """Each metric method answers with its own metric of this workflow's own resource, as it is asked for."""
    stack = Stack(App(), "Shop")
    made = BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack))
    machine = {"StateMachineArn": stack.resolve(made.state_machine.state_machine_arn)}
    assert made.parked_queue is not None

    def named(queue: sqs.IQueue) -> dict[str, Any]:
        return {"QueueName": stack.resolve(queue.queue_name)}

    dead_letters = {"QueueName": stack.resolve(made._emitted.dead_letter_queue_name)}
    assert dead_letters == named(made.dead_letter_queue)
    expected: list[tuple[Callable[..., cloudwatch.Metric], str, Mapping[str, Any], str]] = [
        (made.metric_started, "ExecutionsStarted", machine, "Sum"),
        (made.metric_succeeded, "ExecutionsSucceeded", machine, "Sum"),
        (made.metric_failed, "ExecutionsFailed", machine, "Sum"),
        (made.metric_timed_out, "ExecutionsTimedOut", machine, "Sum"),
        (made.metric_throttled, "ExecutionThrottled", machine, "Sum"),
        (made.metric_time, "ExecutionTime", machine, "p99"),
        (made.metric_waiting, "ApproximateNumberOfMessagesVisible", named(made.queue), "Maximum"),
        (made.metric_oldest_work_age, "ApproximateAgeOfOldestMessage", named(made.queue), "Maximum"),
        (made.metric_parked, "ApproximateNumberOfMessagesVisible", named(made.parked_queue), "Maximum"),
        (made.metric_dead_letters, "ApproximateNumberOfMessagesVisible", dead_letters, "Maximum"),
    ]
    for make, name, dimensions, statistic in expected:
        metric = make()
        assert (metric.metric_name, stack.resolve(metric.dimensions)) == (name, dimensions), make
        assert (metric.statistic, metric.period.to_seconds()) == (statistic, 60), make
        other = make(statistic="p50", period=Duration.minutes(5))
        assert (other.metric_name, stack.resolve(other.dimensions)) == (name, dimensions), make
        assert (other.statistic, other.period.to_seconds()) == ("p50", 300), make
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
