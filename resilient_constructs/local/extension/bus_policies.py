"""AWS::Events::EventBusPolicy.

AWS: adds a statement to a bus's resource policy.
ministack 1.5.33: PutPermission is there, the resource type is rejected.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import eventbridge

from .resources import Properties, answer, register


def close() -> None:
    """Put it in place."""
    register("AWS::Events::EventBusPolicy", _create, _delete)


def _create(_logical_id: str, properties: Properties, _stack: str) -> tuple[str, dict[str, str]]:
    sid, bus = properties["StatementId"], properties.get("EventBusName", "default")
    statement = properties.get("Statement")
    if statement is None:
        data: dict[str, Any] = {
            key: properties[key] for key in ("Action", "Principal", "Condition") if key in properties
        }
        data.update(EventBusName=bus, StatementId=sid)
        answer(eventbridge._put_permission(data), "AWS::Events::EventBusPolicy")
    else:
        # PutPermission of ministack knows no Policy: the statement goes where its own ones stand.
        empty: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}
        document: dict[str, Any] = eventbridge._event_bus_policies.setdefault(bus, empty)
        others = [other for other in document["Statement"] if other.get("Sid") != sid]
        document["Statement"] = [*others, dict(statement, Sid=sid)]
    return f"{bus}|{sid}", {}


def _delete(physical_id: str, _properties: Properties) -> None:
    bus, _, sid = physical_id.partition("|")
    eventbridge._remove_permission({"EventBusName": bus, "StatementId": sid})
