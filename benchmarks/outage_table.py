"""A DynamoDB table in memory: as much of the service as the two breakers' stores use, by its own rules.

Both stores are the real ones, with this in place of boto3's client; every request takes 5 ms of simulated
time. Conditions and updates are evaluated as they are written.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

__all__ = ["Table"]

REQUEST_SECONDS = 0.005

_TOKEN = re.compile(r"<=|[(),=]|[#:\w]+")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD)\b")

Item = dict[str, Any]


class Table:
    """One table, as its client.

    :param key: the partition key's name
    :param wait: lets the time of a request pass
    """

    def __init__(self, key: str, wait: Callable[[float], None] = lambda _: None) -> None:
        self._key = key
        self._wait = wait
        self._items: dict[str, Item] = {}
        self.reads = self.writes = 0

    def get_item(self, *, Key: Item, **_: Any) -> Mapping[str, Any]:  # noqa: N803  AWS's names
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html."""
        self.reads += 1
        self._wait(REQUEST_SECONDS)
        item = self._items.get(Key[self._key]["S"])
        return {} if item is None else {"Item": dict(item)}

    def put_item(self, *, Item: Item, **more: Any) -> Mapping[str, Any]:  # noqa: N803
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html."""
        self._begin_write("PutItem", Item[self._key]["S"], more)
        self._items[Item[self._key]["S"]] = dict(Item)
        return {}

    def update_item(self, *, Key: Item, UpdateExpression: str, **more: Any) -> Mapping[str, Any]:  # noqa: N803
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html."""
        name = Key[self._key]["S"]
        old = self._begin_write("UpdateItem", name, more)
        self._items[name] = new = _updated({**Key, **old}, UpdateExpression, _Names(more))
        return {"Attributes": dict(new)} if more.get("ReturnValues") == "ALL_NEW" else {}

    def _begin_write(self, operation: str, name: str, more: Mapping[str, Any]) -> Item:
        self.writes += 1
        self._wait(REQUEST_SECONDS)
        item = self._items.get(name, {})
        condition = more.get("ConditionExpression")
        if condition is not None and not _Condition(condition, item, _Names(more)).holds():
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "no"}}
            if item and more.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
                answer["Item"] = dict(item)
            raise ClientError(answer, operation)
        return item


class _Names:
    """Placeholders of one request."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._names: Mapping[str, str] = request.get("ExpressionAttributeNames", {})
        self._values: Mapping[str, Any] = request.get("ExpressionAttributeValues", {})

    def attribute(self, token: str) -> str:
        return self._names[token] if token.startswith("#") else token

    def value(self, token: str, item: Item) -> Any:
        return self._values[token] if token.startswith(":") else item.get(self.attribute(token))


class _Condition:
    """``a = :b AND (attribute_not_exists(c) OR d <= :e)``, read from left to right."""

    def __init__(self, text: str, item: Item, names: _Names) -> None:
        self._tokens = _TOKEN.findall(text)[::-1]
        self._item = item
        self._names = names

    def holds(self) -> bool:
        holds = self._all()
        while self._take("OR"):
            holds = self._all() or holds
        return holds

    def _all(self) -> bool:
        holds = self._one()
        while self._take("AND"):
            holds = self._one() and holds
        return holds

    def _one(self) -> bool:
        if self._take("("):
            holds = self.holds()
            self._tokens.pop()
            return holds
        token = self._tokens.pop()
        if token == "attribute_not_exists":
            _, path, _ = (self._tokens.pop() for _ in range(3))
            return self._names.attribute(path) not in self._item
        operator = self._tokens.pop()
        left, right = (_comparable(self._names.value(one, self._item)) for one in (token, self._tokens.pop()))
        # An attribute that is not there compares with nothing.
        if left is None or right is None or type(left) is not type(right):
            return False
        return bool(left == right if operator == "=" else left <= right)

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False


def _comparable(value: Any) -> Any:
    if value is None:
        return None
    return Decimal(value["N"]) if "N" in value else value.get("S")


def _updated(old: Item, expression: str, names: _Names) -> Item:
    new = dict(old)
    clauses = _CLAUSE.split(expression)[1:]
    for verb, body in zip(clauses[::2], clauses[1::2], strict=True):
        for action in re.split(r",(?![^(]*\))", body):
            _act(verb, action, old, new, names)
    return new


def _act(verb: str, action: str, old: Item, new: Item, names: _Names) -> None:
    path, *rest = _TOKEN.findall(action)
    attribute = names.attribute(path)
    if verb == "REMOVE":
        new.pop(attribute, None)
    elif verb == "ADD":
        before = Decimal(old.get(attribute, {"N": "0"})["N"])
        new[attribute] = {"N": str(before + Decimal(names.value(rest[0], old)["N"]))}
    elif rest[1] == "if_not_exists":
        new[attribute] = old.get(names.attribute(rest[3])) or names.value(rest[5], old)
    else:
        new[attribute] = names.value(rest[1], old)
