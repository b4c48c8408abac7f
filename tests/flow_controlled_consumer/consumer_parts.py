"""What the tests of a consumer share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Stack, assertions
from aws_cdk import aws_lambda as lambda_

Match = assertions.Match


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


def only(template: assertions.Template, kind: str, **properties: Any) -> Mapping[str, Any]:
    """The one resource of a kind that has these properties."""
    found = template.find_resources(kind, {"Properties": properties} if properties else None)
    assert len(found) == 1, sorted(found)
    return next(iter(found.values()))["Properties"]
