"""Cloud assemblies as values. No CDK needed: the files are written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resilient_constructs.template import Reference, StackTemplate, load_assembly


def write(directory: Path, name: str, content: dict[str, Any]) -> None:
    """Write one JSON file of an assembly."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(json.dumps(content))


def test_stacks_of_stages_are_found(tmp_path: Path) -> None:
    """Stacks of the app and of its nested stages are found by name, with assets, roles and versions."""
    stack = {
        "type": "aws:cloudformation:stack",
        "properties": {
            "templateFile": "a.json",
            "stackName": "A",
            "assumeRoleArn": "deploy-role",
            "cloudFormationExecutionRoleArn": "exec-role",
            "bootstrapStackVersionSsmParameter": "/version",
        },
    }
    assets = {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}}
    stage = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "stage"}}
    write(tmp_path, "manifest.json", {"artifacts": {"A": stack, "A.assets": assets, "Stage": stage}})
    write(tmp_path, "a.json", {"Resources": {}})
    place = {"bucketName": "bucket", "objectKey": "key", "assumeRoleArn": "publish-role"}
    write(tmp_path, "assets.json", {"files": {"f": {"destinations": {"here": place}}}})
    inner = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "b.json"}}
    write(tmp_path / "stage", "manifest.json", {"artifacts": {"B": inner}})
    write(tmp_path / "stage", "b.json", {"Resources": {}})

    found = load_assembly(tmp_path)

    assert list(found.stacks) == ["A", "B"]
    assert [(asset.bucket, asset.key) for asset in found.assets] == [("bucket", "key")]
    assert found.roles == {"deploy-role", "exec-role", "publish-role"}
    assert found.parameters == {"/version"}


def test_no_assembly(tmp_path: Path) -> None:
    """A directory without a manifest is no assembly."""
    with pytest.raises(FileNotFoundError):
        load_assembly(tmp_path)


def test_references() -> None:
    """Ref, GetAtt in both spellings and Sub are found; parameters and local names of a Sub are not."""
    body = {
        "Parameters": {"P": {"Type": "String"}},
        "Resources": {
            "Q": {"Type": "AWS::SQS::Queue"},
            "F": {
                "Type": "X",
                "Properties": {
                    "A": {"Ref": "Q"},
                    "B": [{"Fn::GetAtt": ["Q", "Arn"]}],
                    "C": {"Fn::GetAtt": "Q.QueueName"},
                    "D": {"Fn::Sub": ["${Q.Arn}/${Mine}/${P}", {"Mine": "x"}]},
                    "E": {"Ref": "P"},
                },
            },
        },
    }
    found = StackTemplate(name="S", body=body).references()
    assert found == [
        Reference(source="F", path="Properties.A", target="Q", attribute=None),
        Reference(source="F", path="Properties.B.0", target="Q", attribute="Arn"),
        Reference(source="F", path="Properties.C", target="Q", attribute="QueueName"),
        Reference(source="F", path="Properties.D", target="Q", attribute="Arn"),
    ]


def test_label_is_the_construct_path() -> None:
    """A resource is called by its construct path where the template tells it, else by its logical ID."""
    body = {
        "Resources": {
            "Q1": {"Type": "X", "Metadata": {"aws:cdk:path": "S/Orders/Queue/Resource"}},
            "Q2": {"Type": "X"},
        }
    }
    resources = StackTemplate(name="S", body=body).resources
    assert [resource.label for resource in resources.values()] == ["S/Orders/Queue", "Q2"]
