"""What the tests of a stream's consumer share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import Stack, assertions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_

__all__ = ["allowed", "make_function", "make_table", "mapping_of", "only"]


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


def make_table(stack: Stack, stream: dynamodb.StreamViewType | None, **given: Any) -> dynamodb.Table:
    """A table, with a stream or without one."""
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    return dynamodb.Table(stack, "Items", partition_key=key, stream=stream, **given)


def only(template: assertions.Template, kind: str, **properties: Any) -> Mapping[str, Any]:
    """The one resource of a kind that has these properties."""
    found = template.find_resources(kind, {"Properties": properties} if properties else None)
    assert len(found) == 1, sorted(found)
    return next(iter(found.values()))["Properties"]


def mapping_of(template: assertions.Template) -> Mapping[str, Any]:
    """The event source mapping of the stream; the other is the resolver's."""
    return only(template, "AWS::Lambda::EventSourceMapping", StartingPosition=assertions.Match.any_value())


def allowed(template: assertions.Template, role: str) -> dict[str, str]:
    """What the role whose name holds this may do: each action with its resources as text."""
    return {
        action: json.dumps(statement["Resource"])
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if role in json.dumps(policy["Properties"]["Roles"])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
