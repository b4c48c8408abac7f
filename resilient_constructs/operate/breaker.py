"""Circuits looked at and changed by hand.

AWS is found as boto3 finds it: profile, region, ``AWS_ENDPOINT_URL``. ``resilient local up`` prints what to
export for the local one.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from resilient_runtime.breaker import order as give_order
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.stores.circuits import DynamoDBCircuits

from .errors import OperateError

__all__ = ["ORDERS", "Circuits", "Told", "change", "find_table", "look"]

_T = TypeVar("_T")

_TABLE_PART = "ResilientCircuitsTable"
"""What the construct's ID leaves in the name that CloudFormation gives the table."""

ORDERS: Mapping[str, CircuitState] = {
    "open": CircuitState.FORCED_OPEN,
    "close": CircuitState.CLOSED,
    "disable": CircuitState.DISABLED,
}
"""What a person can want of a circuit."""


class Told(NamedTuple):
    """A circuit and its name."""

    name: str
    circuit: Circuit


class Circuits(NamedTuple):
    """The circuits of one table.

    :param table: its name
    :param connect: makes a boto3 client for a service
    """

    table: str
    connect: Callable[[str], Any]

    @property
    def store(self) -> DynamoDBCircuits:
        """The table as the breaker knows it."""
        return DynamoDBCircuits(self.table, lambda: self.connect("dynamodb"))


def find_table(table: str | None, connect: Callable[[str], Any]) -> Circuits:
    """The table that was named, or the only one there is.

    :raises OperateError: when there is none, or there are several
    """
    if table:
        return Circuits(table, connect)
    pages = asked(lambda: list(connect("dynamodb").get_paginator("list_tables").paginate()))
    found = [name for page in pages for name in page["TableNames"] if _TABLE_PART in name]
    if not found:
        raise OperateError(
            "there is no table of circuits here; check AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL, or name"
            " the table with --table"
        )
    if len(found) > 1:
        raise OperateError(
            f"there are {len(found)} tables of circuits; choose with --table: {', '.join(found)}"
        )
    return Circuits(found[0], connect)


def look(circuits: Circuits, name: str | None) -> list[Told]:
    """One circuit, or all that ever did anything.

    :raises OperateError: when AWS refuses
    """
    if name is not None:
        return [Told(name, asked(lambda: circuits.store.read(name)).circuit)]
    client = circuits.connect("dynamodb")
    pages = asked(
        lambda: list(
            client.get_paginator("scan").paginate(
                TableName=circuits.table,
                ProjectionExpression="#name",
                ExpressionAttributeNames={"#name": "name"},
            )
        )
    )
    names = sorted(item["name"]["S"] for page in pages for item in page["Items"])
    return [told for one in names for told in look(circuits, one)]


def change(circuits: Circuits, name: str, state: CircuitState, *, reason: str, now: float) -> Circuit:
    """Change a circuit; who did it and why is kept with it, logged, and told as an event.

    :raises OperateError: when AWS refuses, or the reason is empty
    """
    try:
        return asked(
            lambda: give_order(circuits.store, name, state, now=now, reason=reason, by=who(circuits.connect))
        )
    except (ValueError, RuntimeError) as error:
        raise OperateError(str(error)) from error


def who(connect: Callable[[str], Any]) -> str:
    """The person, as AWS knows them, and the machine they sit at."""
    at = f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        return f"{connect('sts').get_caller_identity()['Arn']} ({at})"
    except Exception:  # noqa: BLE001  the audit is poorer then, and the order no less urgent
        return at


def asked(question: Callable[[], _T]) -> _T:
    """The answer; what AWS refuses in one line.

    :raises OperateError: when it refuses, or cannot be reached
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question()
    except (BotoCoreError, ClientError) as error:
        raise OperateError(str(error)) from error
