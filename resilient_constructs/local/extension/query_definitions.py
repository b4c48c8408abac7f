"""AWS::Logs::QueryDefinition.

AWS: a saved Logs Insights query.
ministack 1.5.33: neither the API nor the resource type. Here: the resource is accepted and kept by
CloudFormation alone; nothing lists it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-querydefinition.html
"""

from __future__ import annotations

from uuid import uuid4

from .resources import Properties, register


def close() -> None:
    """Put it in place."""
    register("AWS::Logs::QueryDefinition", _create, lambda _physical_id, _properties: None)


def _create(_logical_id: str, properties: Properties, _stack: str) -> tuple[str, dict[str, str]]:
    if not properties.get("Name") or not properties.get("QueryString"):
        raise ValueError("AWS::Logs::QueryDefinition: Name and QueryString are required")
    identity = str(uuid4())
    return identity, {"QueryDefinitionId": identity}
