"""Teach the emulator's CloudFormation another resource type, or another property of one it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners

__all__ = ["Created", "Properties", "answer", "physical_name", "register", "wrap_create"]

type_handlers: dict[str, dict[str, Any]] = provisioners._RESOURCE_HANDLERS

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]
Create = Callable[[str, Properties, str], Created]


def register(resource_type: str, create: Create, delete: Callable[[str, Properties], None]) -> None:
    """Add a resource type. A changed property makes a new resource and removes the old one."""

    def update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
        delete(physical_id, old)
        return create(logical_id, new, stack)

    type_handlers[resource_type] = {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
    }


def wrap_create(resource_type: str, after: Callable[[Created, Properties], None]) -> None:
    """Do something more whenever a resource of a known type was created or updated."""
    handler = dict(type_handlers[resource_type])
    create, update = handler["create"], handler.get("update")

    def created(logical_id: str, properties: Properties, stack: str) -> Created:
        result: Created = create(logical_id, properties, stack)
        after(result, properties)
        return result

    def updated(physical_id: str, old: Properties, new: Properties, *rest: Any) -> Created:
        assert update is not None  # noqa: S101 (only registered where there is one)
        result: Created = update(physical_id, old, new, *rest)
        after(result, new)
        return result

    handler["create"] = created
    if update is not None:
        handler["update"] = updated
    type_handlers[resource_type] = handler


def physical_name(stack: str, logical_id: str, *, longest: int) -> str:
    """A name as CloudFormation makes one."""
    return str(provisioners._physical_name(stack, logical_id, max_len=longest))


def answer(response: tuple[int, dict[str, str], bytes], what: str) -> dict[str, Any]:
    """The body of a service's answer.

    :raises ValueError: when the service refused; CloudFormation then fails the resource
    """
    status, _, body = response
    if status >= 400:
        raise ValueError(f"{what}: {body.decode(errors='replace')}")
    return dict(json.loads(body)) if body else {}
