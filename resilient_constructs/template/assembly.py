"""Read a cloud assembly (``cdk.out``): its stacks, nested stages included, and the assets they need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .stack import StackTemplate

__all__ = ["Assembly", "Asset", "load_assembly"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One place that a file of the assembly is published to.

    :param bucket: the bucket, with CDK's ``${AWS::…}`` placeholders
    :param key: the object's key
    :param role: the role that publishes it, None where the caller's own credentials do
    """

    bucket: str
    key: str
    role: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """A synthesized app.

    :param directory: where it lies
    :param stacks: its templates by stack name
    :param assets: every place that a file is published to
    :param roles: roles that the CDK CLI would assume to deploy it, with CDK's placeholders
    :param parameters: SSM parameters that hold the bootstrap version its stacks ask for
    """

    directory: Path
    stacks: Mapping[str, StackTemplate]
    assets: tuple[Asset, ...]
    roles: frozenset[str]
    parameters: frozenset[str]


def load_assembly(directory: Path) -> Assembly:
    """Read the cloud assembly in a directory.

    :raises FileNotFoundError: when the directory holds no ``manifest.json``
    """
    stacks: dict[str, StackTemplate] = {}
    assets: list[Asset] = []
    roles: set[str] = set()
    parameters: set[str] = set()
    _read(directory, stacks, assets, roles, parameters)
    return Assembly(
        directory=directory,
        stacks=stacks,
        assets=tuple(assets),
        roles=frozenset(roles),
        parameters=frozenset(parameters),
    )


def _read(
    directory: Path,
    stacks: dict[str, StackTemplate],
    assets: list[Asset],
    roles: set[str],
    parameters: set[str],
) -> None:
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    for artifact_id, artifact in manifest.get("artifacts", {}).items():
        properties = artifact.get("properties", {})
        match artifact["type"]:
            case "aws:cloudformation:stack":
                name = properties.get("stackName", artifact_id)
                body = json.loads((directory / properties["templateFile"]).read_text(encoding="utf-8"))
                stacks[name] = StackTemplate(name=name, body=body)
                roles.update(_roles_of_stack(properties))
                parameters.update(filter(None, [properties.get("bootstrapStackVersionSsmParameter")]))
            case "cdk:asset-manifest":
                found = _assets(json.loads((directory / properties["file"]).read_text(encoding="utf-8")))
                assets.extend(found)
                roles.update(asset.role for asset in found if asset.role)
            case "cdk:cloud-assembly":
                _read(directory / properties["directoryName"], stacks, assets, roles, parameters)


def _roles_of_stack(properties: Mapping[str, Any]) -> list[str]:
    named = [properties.get("assumeRoleArn"), properties.get("cloudFormationExecutionRoleArn")]
    return [role for role in [*named, properties.get("lookupRole", {}).get("arn")] if role]


def _assets(manifest: Mapping[str, Any]) -> list[Asset]:
    return [
        Asset(bucket=place["bucketName"], key=place["objectKey"], role=place.get("assumeRoleArn"))
        for file in manifest.get("files", {}).values()
        for place in file.get("destinations", {}).values()
    ]
