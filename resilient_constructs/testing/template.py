"""A synthesized template as plain data: the same from one machine to the next, ready for snapshots."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk.assertions import Template

__all__ = ["dashboards_of", "snapshot_of", "template_of"]

_ASSET_HASH = re.compile(r"[0-9a-f]{64}")
# the CDK ends the logical ID of a function's version in a digest of its code
_VERSION_DIGEST = re.compile(r"[0-9a-f]{32}$")
_REFERENCE = re.compile(r"\$\{([^}!]+)\}")
_BOOTSTRAP = {"Parameters": "BootstrapVersion", "Rules": "CheckBootstrapVersion"}


def template_of(source: Stack | Template | Mapping[str, Any]) -> dict[str, Any]:
    """The template as a dictionary of its own, whether a stack, a ``Template`` or a dictionary was given.

    A stack is synthesized together with its app.
    """
    if isinstance(source, Mapping):
        copied: dict[str, Any] = json.loads(json.dumps(source))
        return copied
    from aws_cdk import Stack
    from aws_cdk.assertions import Template

    template = Template.from_stack(source) if isinstance(source, Stack) else source
    return dict(template.to_json())


def snapshot_of(source: Stack | Template | Mapping[str, Any]) -> dict[str, Any]:
    """The template without what changes when only code or the CDK's bootstrap version changes.

    Compare it with any snapshot library: ``assert snapshot_of(stack) == snapshot``. Left out or replaced by
    ``<hash>``: asset hashes, digests in the logical IDs of Lambda versions, the CDK's bootstrap parameter
    and rule, paths in asset metadata. All else is kept, logical IDs above all: a changed logical ID replaces
    a resource.
    """
    template = template_of(source)
    for section, name in _BOOTSTRAP.items():
        template.get(section, {}).pop(name, None)
        if not template.get(section):
            template.pop(section, None)
    renamed = {
        logical_id: _VERSION_DIGEST.sub("<hash>", logical_id)
        for logical_id, resource in template.get("Resources", {}).items()
        if resource["Type"] == "AWS::Lambda::Version" and _VERSION_DIGEST.search(logical_id)
    }
    normalised: dict[str, Any] = _normalise(template, renamed)
    return normalised


def _normalise(node: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            renamed.get(key, key): _normalise(value, renamed)
            for key, value in sorted(node.items())
            if not key.startswith(("aws:asset:", "aws:cdk:"))
        }
    if isinstance(node, list):
        return [_normalise(value, renamed) for value in node]
    if isinstance(node, str):
        return renamed.get(node) or _ASSET_HASH.sub("<hash>", node)
    return node


def dashboards_of(source: Stack | Template | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The body of every CloudWatch dashboard, parsed, by logical ID.

    References stand in it as ``${LogicalId}`` and ``${LogicalId.Attribute}``.
    """
    return {
        logical_id: json.loads(_as_text(resource["Properties"]["DashboardBody"]))
        for logical_id, resource in template_of(source).get("Resources", {}).items()
        if resource["Type"] == "AWS::CloudWatch::Dashboard"
    }


def _as_text(value: Any) -> str:
    """What CloudFormation would make of a string, with names in place of what only it knows."""
    if not isinstance(value, Mapping):
        return str(value)
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        delimiter, parts = argument
        return str(delimiter).join(_as_text(part) for part in parts)
    if function == "Fn::Sub":
        text, values = (argument, {}) if isinstance(argument, str) else argument
        known = {name: _as_text(value) for name, value in values.items()}
        return _REFERENCE.sub(lambda found: known.get(found[1], found[0]), text).replace("${!", "${")
    if function == "Ref":
        return f"${{{argument}}}"
    if function == "Fn::GetAtt":
        return f"${{{'.'.join(argument) if isinstance(argument, list) else argument}}}"
    return f"${{{function}}}"
