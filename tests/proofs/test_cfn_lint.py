"""cfn-lint over every example's template, in regions of three partitions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from breaker_workflows import orchestrate
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from configured_consumer import configure
from example_templates import TEMPLATES
from guarded_consumer import guard
from parallel_works import fan_out
from shedding_consumer import shed
from stream_consumers import follow, stream

from resilient_constructs import Handler, OnCall

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "delivery"
REGIONS = ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"]

CDKS_OWN = re.compile(
    r"'\w+Role[0-9A-F]{8}' dependency already enforced by a 'GetAtt' at '\S+/Properties/Role(?:Arn)?'"
)
"""W3005, from the CDK's own ``Function`` and ``StateMachine``: each depends on its role by hand, since an
imported role's policies would otherwise come too late. Redundant, harmless, and not ours to take away."""


def configured() -> dict[str, Any]:
    """A consumer with everything switched on, leave to update its own function included."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    configure(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def guarded() -> dict[str, Any]:
    """A consumer whose downstream has a breaker."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    guard(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def workflows() -> dict[str, Any]:
    """Workflows, whatever starts them and whatever they call."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    orchestrate(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def batches() -> dict[str, Any]:
    """Batches, inline and from S3."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    fan_out(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def shedding() -> dict[str, Any]:
    """A consumer with an archive and an urgent lane."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    shed(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def streamed() -> dict[str, Any]:
    """A consumer of a stream with a store, a resolver and parked keys."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    stream(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def followed() -> dict[str, Any]:
    """A consumer of a table's stream."""
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(str(HANDLERS), "delivery.deliver")
    follow(stack, handler=handler, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


ALL = {
    **TEMPLATES,
    "Configured": configured,
    "Guarded": guarded,
    "Workflows": workflows,
    "Batches": batches,
    "Shedding": shedding,
    "Streamed": streamed,
    "Followed": followed,
}


@pytest.mark.parametrize("name", ALL)
def test_cfn_lint_finds_nothing(name: str) -> None:
    """No finding in the regions of three partitions, save one that the CDK's own function brings along."""
    template = ALL[name]()
    found = lint(json.dumps(template), config=ManualArgs(regions=REGIONS))
    ours = [one for one in found if not (one.rule.id == "W3005" and CDKS_OWN.fullmatch(one.message))]
    assert [f"{one.rule.id} {one.message}" for one in ours] == []
    depending = ("AWS::Lambda::Function", "AWS::StepFunctions::StateMachine")
    made = [r for r in template["Resources"].values() if r["Type"] in depending]
    assert len(found) == len(made), "the CDK no longer repeats the dependency: take the exception away"


def test_cfn_lint_finds_a_planted_fault(tmp_path: Path) -> None:
    """An impossible value is found: the linter works."""
    broken: dict[str, Any] = {
        "Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": "soon"}}}
    }
    assert lint(json.dumps(broken), config=ManualArgs(regions=REGIONS))
