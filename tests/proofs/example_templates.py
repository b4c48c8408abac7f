"""The template of every example, synthesized once for all proofs. Nobody changes one: they are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from aws_cdk import App
from aws_cdk.assertions import Template

from examples.courier import CourierStack
from examples.documents import DocumentsStack

__all__ = ["TEMPLATES", "resources"]


@cache
def _courier() -> dict[str, Any]:
    return dict(Template.from_stack(CourierStack(App(), "Courier")).to_json())


@cache
def _documents() -> dict[str, Any]:
    return dict(Template.from_stack(DocumentsStack(App(), "Documents")).to_json())


TEMPLATES: dict[str, Callable[[], dict[str, Any]]] = {"Courier": _courier, "Documents": _documents}
"""By the name that ``cdk list`` shows."""


def resources(resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every resource of one type in all examples: ``Stack.LogicalId`` and its properties."""
    for name, made in TEMPLATES.items():
        for logical_id, resource in made()["Resources"].items():
            if resource["Type"] == resource_type:
                yield f"{name}.{logical_id}", resource.get("Properties", {})
