"""AWS::Events::Archive.

AWS: CloudFormation makes the archive; its name is unique in the account and at most 48 characters long.
ministack 1.5.33: the API is there, the resource type is rejected.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-archive.html
"""

from __future__ import annotations

import json

from ministack.services import eventbridge

from .resources import Properties, answer, physical_name, register


def close() -> None:
    """Put it in place."""
    register("AWS::Events::Archive", _create, _delete)


def _create(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
    name = properties.get("ArchiveName") or physical_name(stack, logical_id, longest=48)
    data = {
        "ArchiveName": name,
        "EventSourceArn": properties["SourceArn"],
        "Description": properties.get("Description", ""),
        "RetentionDays": int(properties.get("RetentionDays", 0)),
    }
    if properties.get("EventPattern"):
        data["EventPattern"] = json.dumps(properties["EventPattern"])
    if properties.get("KmsKeyIdentifier"):
        data["KmsKeyIdentifier"] = properties["KmsKeyIdentifier"]
    made = answer(eventbridge._create_archive(data), "AWS::Events::Archive")
    return name, {"Arn": made["ArchiveArn"], "ArchiveName": name}


def _delete(physical_id: str, _properties: Properties) -> None:
    eventbridge._delete_archive({"ArchiveName": physical_id})
