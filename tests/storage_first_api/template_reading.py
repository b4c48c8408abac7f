"""Resources of a template, by their type."""

from __future__ import annotations

from typing import Any

from aws_cdk import Stack
from aws_cdk.assertions import Template

ORDER = {"type": "object", "required": ["customer", "order"]}
Resources = dict[str, dict[str, Any]]


def of_type(resources: Resources, kind: str) -> Resources:
    """The properties of all resources of one type."""
    return {k: v["Properties"] for k, v in resources.items() if v["Type"] == f"AWS::{kind}"}


def only(resources: Resources, kind: str) -> dict[str, Any]:
    """The properties of the only resource of one type."""
    [one] = of_type(resources, kind).values()
    return one


def synthesized(stack: Stack) -> Resources:
    """The stack's resources."""
    resources: Resources = Template.from_stack(stack).to_json()["Resources"]
    return resources
