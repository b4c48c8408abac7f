"""``Ref`` of an ``AWS::SecretsManager::Secret`` is the secret's ARN.

AWS: the ARN, with its six random characters; policies name it so.
ministack 1.5.33: the secret's name, so that a policy which names the secret by ``Ref`` never allows it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html
"""

from __future__ import annotations

import re
from typing import Any

from .resources import Created, Properties, type_handlers

__all__ = ["close"]

_TYPE = "AWS::SecretsManager::Secret"


def close() -> None:
    """Put it in place."""
    handler = dict(type_handlers[_TYPE])
    create, update, delete = handler["create"], handler["update"], handler["delete"]

    def created(logical_id: str, properties: Properties, stack: str) -> Created:
        return _by_arn(create(logical_id, properties, stack))

    def updated(physical_id: str, old: Properties, new: Properties, *rest: Any) -> Created:
        return _by_arn(update(_name(physical_id), old, new, *rest))

    def deleted(physical_id: str, properties: Properties) -> None:
        delete(_name(physical_id), properties)

    type_handlers[_TYPE] = {**handler, "create": created, "update": updated, "delete": deleted}


def _by_arn(made: Created) -> Created:
    physical_id, attributes = made
    return str(attributes.get("Arn", physical_id)), attributes


def _name(physical_id: str) -> str:
    return re.sub(r"^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)-.{6}$", r"\1", physical_id)
