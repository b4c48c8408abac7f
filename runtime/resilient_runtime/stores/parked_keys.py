"""The DynamoDB table of one consumer's parked keys: one item each, and one that counts the changes.

================  ===================================================================================
``name``          S  partition key: ``key:`` and the partition key, or ``version``
``version``       N  in the item ``version``: grows with every change
``since``         N  when it was parked, in seconds since 1970
``record``        S  shard and sequence number of the poison that it waits for
``last``          S  sequence number of the last record that was kept behind it, with zeros in front
================  ===================================================================================

An environment reads the version, consistently, once per invocation, and the keys only when it has changed. So
no environment that takes over a shard works on a key that another one has just parked: both happen after
each other, as a shard's batches do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.clock import SYSTEM_CLOCK, Clock
from resilient_runtime.streams.records import StreamRecord

__all__ = ["DynamoDBParkedKeys", "KeepsItems"]

_VERSION = {"name": {"S": "version"}}
_PREFIX = "key:"


class KeepsItems(Protocol):
    """The calls of boto3's DynamoDB client that are used here."""

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html."""
        ...

    def scan(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html."""
        ...

    def update_item(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html."""
        ...

    def transact_write_items(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html."""
        ...


def dynamodb_client() -> KeepsItems:
    """A client that tries twice: without the parked keys no batch may be begun."""
    from .clients import client

    return cast("KeepsItems", client("dynamodb", read_timeout=2, attempts=2))


class DynamoDBParkedKeys:
    """Which keys of a consumer wait.

    :param table_name: the table's name or ARN
    :param connect: makes the client when it is first needed
    """

    def __init__(
        self,
        table_name: str,
        *,
        connect: Callable[[], KeepsItems] = dynamodb_client,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.table_name = table_name
        self._connect = connect
        self._clock = clock
        self._client: KeepsItems | None = None
        self._version: str | None = None
        self._keys: frozenset[str] = frozenset()

    def read(self) -> set[str]:
        """The keys that are parked now.

        :raises Exception: whatever the client raises
        """
        found = self._connected().get_item(TableName=self.table_name, Key=_VERSION, ConsistentRead=True)
        version = found.get("Item", {}).get("version", {}).get("N", "0")
        if version != self._version:
            self._keys = frozenset(self._scanned())
            self._version = version
        return set(self._keys)

    def add(self, key: str, record: StreamRecord) -> None:
        """Park a key because of a record.

        :raises Exception: whatever the client raises; the key is then not known to be parked
        """
        item = {
            "name": {"S": _PREFIX + key},
            "since": {"N": f"{self._clock.wall():.3f}"},
            "record": {"S": f"{record.shard}:{record.sequence}"},
        }
        self._change({"Put": {"TableName": self.table_name, "Item": item}})

    def wait(self, key: str, record: StreamRecord) -> None:
        """Note, before a record is kept behind its key's poison, that it is the last one there.

        :raises Exception: whatever the client raises; also when the key is no longer parked
        """
        self._connected().update_item(
            TableName=self.table_name,
            Key={"name": {"S": _PREFIX + key}},
            UpdateExpression="SET #last = :last",
            ConditionExpression="attribute_exists(#since)",
            ExpressionAttributeNames={"#last": "last", "#since": "since"},
            ExpressionAttributeValues={":last": {"S": _padded(record.sequence)}},
        )

    def remove(self, key: str, *, replayed_to: str | None) -> None:
        """Let a key's records be done again, unless one was kept behind it since.

        :param replayed_to: sequence number of the last record that was replayed; None when none was
        :raises Exception: whatever the client raises; the key is then not known to be free
        """
        free = "attribute_not_exists(#last)"
        values: Mapping[str, Any] = {}
        if replayed_to is not None:
            free += " OR #last <= :replayed"
            values = {"ExpressionAttributeValues": {":replayed": {"S": _padded(replayed_to)}}}
        delete = {
            "TableName": self.table_name,
            "Key": {"name": {"S": _PREFIX + key}},
            "ConditionExpression": free,
            "ExpressionAttributeNames": {"#last": "last"},
            **values,
        }
        self._change({"Delete": delete})

    def _change(self, write: Mapping[str, Any]) -> None:
        counted = {
            "TableName": self.table_name,
            "Key": _VERSION,
            "UpdateExpression": "ADD version :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        # Both or none: a key that is parked under an old version would be seen by no other environment.
        self._connected().transact_write_items(TransactItems=[write, {"Update": counted}])

    def _scanned(self) -> list[str]:
        keys: list[str] = []
        more: Mapping[str, Any] = {}
        while True:
            page = self._connected().scan(TableName=self.table_name, ConsistentRead=True, **more)
            names = (item["name"]["S"] for item in page.get("Items", ()))
            keys += (name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
            if not page.get("LastEvaluatedKey"):
                return keys
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _connected(self) -> KeepsItems:
        if self._client is None:
            self._client = self._connect()
        return self._client


def _padded(sequence: str) -> str:
    # A sequence number of Kinesis has up to 56 digits, and a number of DynamoDB's 38.
    return sequence.rjust(64, "0")
