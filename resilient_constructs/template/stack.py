"""One synthesized template: its resources, and which of them refers to which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Reference", "Resource", "StackTemplate", "walk"]

_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One resource's mention of another.

    :param source: logical ID of the resource that refers
    :param path: where in its definition: ``Properties.Targets.0.Arn``
    :param target: logical ID of what is referred to
    :param attribute: the attribute asked for, None for ``Ref``
    """

    source: str
    path: str
    target: str
    attribute: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One resource of a template.

    :param logical_id: its key in ``Resources``
    :param type: its CloudFormation type
    :param properties: its properties, as synthesized
    :param path: its construct path, where the template carries CDK's metadata
    """

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    path: str | None = None

    @property
    def label(self) -> str:
        """How a person finds it: the construct path without CDK's ``/Resource``, else the logical ID."""
        return (self.path or self.logical_id).removesuffix("/Resource").removesuffix("/Default")


@dataclass(frozen=True, kw_only=True, slots=True)
class StackTemplate:
    """One stack's template.

    :param name: the stack's name
    :param body: the whole template, as synthesized
    """

    name: str
    body: Mapping[str, Any]

    @property
    def resources(self) -> Mapping[str, Resource]:
        """Its resources by logical ID."""
        return {
            logical_id: Resource(
                logical_id=logical_id,
                type=definition["Type"],
                properties=definition.get("Properties", {}),
                path=definition.get("Metadata", {}).get("aws:cdk:path"),
            )
            for logical_id, definition in self.body.get("Resources", {}).items()
        }

    def of_type(self, resource_type: str) -> list[Resource]:
        """Its resources of one CloudFormation type."""
        return [r for r in self.resources.values() if r.type == resource_type]

    def references(self) -> list[Reference]:
        """Every mention of one resource by another, ``Ref``, ``Fn::GetAtt`` and ``Fn::Sub`` alike."""
        known = self.body.get("Resources", {})
        return [
            Reference(source=source, path=path, target=target, attribute=attribute)
            for source, definition in known.items()
            for path, value in walk(definition.get("Properties", {}), "Properties")
            for target, attribute in _mentions(value)
            if target in known
        ]


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside a JSON document with its dotted path, the document itself first."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}.{index}" if path else str(index))


def _mentions(value: Any) -> Iterator[tuple[str, str | None]]:
    if not isinstance(value, Mapping) or len(value) != 1:
        return
    ((function, argument),) = value.items()
    if function == "Ref":
        yield argument, None
    elif function == "Fn::GetAtt":
        target, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        yield target, attribute if isinstance(attribute, str) else None
    elif function == "Fn::Sub":
        text = argument if isinstance(argument, str) else argument[0]
        local = {} if isinstance(argument, str) else argument[1]
        for target, attribute in _SUBSTITUTION.findall(text):
            if target not in local:
                yield target, attribute or None
