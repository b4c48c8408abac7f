"""What the tests of a workflow share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aws_cdk import Duration, SecretValue, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn

from resilient_constructs import BreakerPolicy, Downstream, Handler, ResilientFunction, Work

HANDLER = Handler.from_directory(
    str(Path(__file__).parents[2] / "examples" / "handlers" / "delivery"), "delivery.deliver"
)


def make_function(stack: Stack, name: str = "Given", **given: Any) -> lambda_.Function:
    """A function that is not ours."""
    return lambda_.Function(
        stack,
        name,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        **given,
    )


def make_downstream(stack: Stack, name: str = "Ocr") -> Downstream:
    """Ten calls a second of five seconds each, with a breaker."""
    return Downstream(
        stack,
        name,
        requests_per_second=10,
        typical_latency=Duration.seconds(5),
        breaker=BreakerPolicy(slow_after=Duration.seconds(8)),
    )


def a_function(stack: Stack) -> Work:
    """A function of ours."""
    return Work.function(ResilientFunction(stack, "Worker", handler=HANDLER, timeout=Duration.seconds(20)))


def a_callback(stack: Stack) -> Work:
    """A function whose work goes on elsewhere."""
    return Work.function(make_function(stack, "Begins"), heartbeat=Duration.minutes(2))


def an_endpoint(stack: Stack) -> Work:
    """An HTTPS endpoint."""
    return Work.http("https://api.example.com/pages", connection=make_connection(stack))


def an_action(_stack: Stack) -> Work:
    """An action of a service that knows no resources."""
    return Work.action("textract", "analyzeDocument", {"Document": "{% $work %}"}, resources=["*"])


def a_task(stack: Stack) -> Work:
    """A Fargate task."""
    return make_task(stack)


def a_heard_task(stack: Stack) -> Work:
    """A Fargate task that tells that it lives."""
    return make_task(stack, heartbeat=Duration.minutes(1))


def a_workflow(stack: Stack) -> Work:
    """Another workflow."""
    return Work.workflow(make_machine(stack))


KINDS: Mapping[str, Callable[[Stack], Work]] = {
    make.__name__: make
    for make in (a_function, a_callback, an_endpoint, an_action, a_task, a_heard_task, a_workflow)
}
"""Every kind of work."""
EXPRESS_KINDS = ("a_function", "an_endpoint", "an_action")
"""Those that an Express workflow can call."""


def make_connection(stack: Stack) -> events.Connection:
    """An EventBridge connection with an API key."""
    key = SecretValue.secrets_manager("ocr-key")
    return events.Connection(stack, "Connection", authorization=events.Authorization.api_key("key", key))


def make_task(stack: Stack, **given: Any) -> Work:
    """A Fargate task in a VPC of its own."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0)
    definition = ecs.FargateTaskDefinition(stack, "Split")
    definition.add_container("split", image=ecs.ContainerImage.from_registry("public.ecr.aws/x/split"))
    return Work.ecs_task(
        definition,
        cluster=ecs.Cluster(stack, "Cluster", vpc=vpc),
        container="split",
        subnets=vpc.isolated_subnets or vpc.public_subnets,
        security_groups=[ec2.SecurityGroup(stack, "Group", vpc=vpc)],
        environment={"MODE": "fast"},
        **given,
    )


def make_machine(stack: Stack) -> sfn.StateMachine:
    """A state machine that is not ours."""
    body = sfn.DefinitionBody.from_string('{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}')
    return sfn.StateMachine(stack, "Child", definition_body=body)


def machines_in(template: Mapping[str, Any], *, ours: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical ID and definition of each state machine, with names in place of what only AWS knows."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            machine = json.loads(as_text(resource["Properties"]["DefinitionString"]))
            if not ours or machine.get("QueryLanguage") == "JSONata":
                yield logical_id, machine


def as_text(value: Any) -> str:
    """What CloudFormation makes of a string, as far as a test wants to know."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(as_text(part) for part in argument[1])
    if function == "Ref":
        return {"AWS::Partition": "aws", "AWS::Region": "eu-central-1"}.get(argument, argument)
    return f"<{function} {argument}>"


def states_of(machine: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state of a machine, those inside other states too."""
    for name, state in machine["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), state.get("ItemProcessor")):
            if inner:
                yield from states_of(inner)


def statements_of(template: Mapping[str, Any], *beginnings: str) -> list[dict[str, Any]]:
    """Every statement of the roles and policies whose logical IDs begin like this."""
    found: list[dict[str, Any]] = []
    for logical_id, resource in template["Resources"].items():
        if not logical_id.startswith(beginnings):
            continue
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Policy":
            found += properties["PolicyDocument"]["Statement"]
        elif resource["Type"] == "AWS::IAM::Role":
            for policy in properties.get("Policies", []):
                found += policy["PolicyDocument"]["Statement"]
    return found


def actions_of(statements: list[dict[str, Any]]) -> set[str]:
    """Every action that they allow."""
    listed = (one["Action"] for one in statements)
    return {action for each in listed for action in (each if isinstance(each, list) else [each])}
