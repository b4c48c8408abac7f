"""A DynamoDB stream's record in plain Python values.

boto3 has a deserializer; importing it for this would take 150 ms of every cold start.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_AttributeValue.html
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any

__all__ = ["plain_image", "plain_value"]


def plain_image(record: Mapping[str, Any]) -> dict[str, Any]:
    """What changed: ``event``, ``keys``, ``new``, ``old``; an image that the stream leaves out is None."""
    said = record["dynamodb"]
    return {
        "event": record.get("eventName"),
        "keys": _plain_item(said.get("Keys")),
        "new": _plain_item(said.get("NewImage")),
        "old": _plain_item(said.get("OldImage")),
    }


def plain_value(value: Mapping[str, Any]) -> Any:
    """One attribute: whole numbers are ``int``, others ``Decimal``; sets are sets, binary is ``bytes``.

    :raises ValueError: when it is of a type that DynamoDB does not have
    """
    ((kind, content),) = value.items()
    if kind in ("S", "BOOL"):
        return content
    if kind == "N":
        return _number(content)
    if kind == "NULL":
        return None
    if kind == "M":
        return _plain_item(content)
    if kind == "L":
        return [plain_value(one) for one in content]
    if kind == "B":
        return a2b_base64(content)
    if kind == "SS":
        return set(content)
    if kind == "NS":
        return {_number(one) for one in content}
    if kind == "BS":
        return {a2b_base64(one) for one in content}
    raise ValueError(f"no attribute type of DynamoDB's: {kind:.20}")


def _plain_item(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if item is None else {name: plain_value(value) for name, value in item.items()}


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        # Late on purpose: most numbers are whole.
        from decimal import Decimal

        return Decimal(text)
