"""A DynamoDB table in memory, for GetItem and UpdateItem as a state machine and boto3 call them.

Of expressions it has ``SET a = :v`` and ``if_not_exists``, ``REMOVE``, ``ADD`` of numbers, and conditions
``a = :v`` and ``attribute_not_exists(a)``, joined by nothing; whatever else it refuses.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .errors import StatesError

__all__ = ["Table"]

Item = dict[str, dict[str, Any]]

_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD)\b")
_IF_NOT_EXISTS = re.compile(r"if_not_exists\((#?\w+), (:\w+)\)")
_LARGEST_ITEM = 409_600
_PRECISION = 38


class Table:
    """A table whose partition key is the text attribute ``key``.

    :param key: the partition key's name
    """

    def __init__(self, key: str = "name") -> None:
        self._key = key
        self.items: dict[str, Item] = {}

    def get_item(self, *, Key: Mapping[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803  DynamoDB's names
        """What is stored, or an answer without ``Item``."""
        item = self.items.get(Key[self._key]["S"])
        return {} if item is None else {"Item": dict(item)}

    def update_item(
        self,
        *,
        Key: Mapping[str, Any],  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str | None = None,  # noqa: N803
        ExpressionAttributeNames: Mapping[str, str] | None = None,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any] | None = None,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
        **more: Any,
    ) -> dict[str, Any]:
        """Change the item.

        :raises StatesError: DynamoDB.ConditionalCheckFailedException, DynamoDB.ValidationException
        """
        unknown = more.keys() - {"TableName", "ReturnValuesOnConditionCheckFailure"}
        if unknown:
            raise StatesError("DynamoDB.ValidationException", f"unknown here: {sorted(unknown)}")
        key = Key[self._key]["S"]
        names = _Names(ExpressionAttributeNames or {}, ExpressionAttributeValues or {})
        old = self.items.get(key)
        if ConditionExpression and not _holds(ConditionExpression, old or {}, names):
            raise StatesError("DynamoDB.ConditionalCheckFailedException", "The conditional request failed")
        new = _updated({**(old or {}), self._key: Key[self._key]}, UpdateExpression, names)
        names.check_all_used()
        if len(str(new)) > _LARGEST_ITEM:
            raise StatesError("DynamoDB.ValidationException", "the item is larger than 400 KB")
        self.items[key] = new
        return {"Attributes": dict(new)} if ReturnValues == "ALL_NEW" else {}


class _Names:
    def __init__(self, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self._names, self._values = names, values
        self._unused = {*names, *values}

    def name(self, text: str) -> str:
        if not text.startswith("#"):
            return text
        self._unused.discard(text)
        return self._names[text]

    def value(self, text: str) -> dict[str, Any]:
        self._unused.discard(text)
        return _canonical(self._values[text])

    def check_all_used(self) -> None:
        if self._unused:
            raise StatesError(
                "DynamoDB.ValidationException", f"unused in expressions: {sorted(self._unused)}"
            )


def _holds(condition: str, item: Mapping[str, Any], names: _Names) -> bool:
    if missing := re.fullmatch(r"attribute_not_exists\((#?\w+)\)", condition):
        return names.name(missing[1]) not in item
    if equal := re.fullmatch(r"(#?\w+) = (:\w+)", condition):
        return item.get(names.name(equal[1])) == names.value(equal[2])
    raise StatesError("DynamoDB.ValidationException", f"a condition that is not known here: {condition}")


def _updated(item: Item, expression: str, names: _Names) -> Item:
    parts = _CLAUSE.split(expression)
    if parts[0].strip() or len(parts) < 3:
        raise StatesError("DynamoDB.ValidationException", f"an update that is not known here: {expression}")
    new, touched = dict(item), set[str]()
    for verb, clause in zip(parts[1::2], parts[2::2], strict=True):
        for action in re.split(r",\s*(?![^()]*\))", clause.strip()):
            path = _apply(verb, action, item, new, names)
            if path in touched:
                raise StatesError("DynamoDB.ValidationException", f"Two document paths overlap: {path}")
            touched.add(path)
    return new


def _apply(verb: str, action: str, old: Item, new: Item, names: _Names) -> str:
    if verb == "REMOVE":
        path = names.name(action)
        new.pop(path, None)
    elif verb == "SET":
        left, _, right = action.partition(" = ")
        path = names.name(left)
        if kept := _IF_NOT_EXISTS.fullmatch(right):
            value = names.value(kept[2])
            new[path] = old.get(names.name(kept[1]), value)
        else:
            new[path] = names.value(right)
    else:
        left, _, right = action.partition(" ")
        path = names.name(left)
        total = Decimal(old.get(path, {"N": "0"})["N"]) + Decimal(names.value(right)["N"])
        new[path] = _canonical({"N": str(total)})
    return path


def _canonical(value: Mapping[str, Any]) -> dict[str, Any]:
    """As DynamoDB gives it back: numbers without zeros at their ends."""
    ((kind, content),) = value.items()
    if kind == "M":
        return {"M": {name: _canonical(inner) for name, inner in content.items()}}
    if kind == "S":
        return {"S": str(content)}
    if kind != "N":
        raise StatesError("DynamoDB.ValidationException", f"a type that is not known here: {kind}")
    if not isinstance(content, str):
        raise StatesError("DynamoDB.SerializationException", f"a number has to come as text: {content!r}")
    number = Decimal(content).normalize()
    if len(number.as_tuple().digits) > _PRECISION:
        raise StatesError("DynamoDB.ValidationException", "a number has more than 38 digits")
    return {"N": f"{number:f}"}
