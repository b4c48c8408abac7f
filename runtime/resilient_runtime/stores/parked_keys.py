"""The DynamoDB table of one consumer's parked keys: one item each, and one that counts the changes.

================  ===================================================================================
``name``          S  partition key: ``key:`` and the partition key, or ``version``. Of a key that is too long
                     for that, ``key:sha256:`` and its digest
``key``           S  the partition key, where ``name`` has its digest
``version``       N  in the item ``version``: grows with every change
``since``         N  when it was parked, in seconds since 1970
``record``        S  shard and sequence number of the poison that it waits for. That is parked before it is
                     kept: a record that comes again, and stands here itself, may be nowhere else
``first``         S  that one's sequence number, with zeros in front
``last``          S  sequence number of the last record that was kept behind it, with zeros in front
================  ===================================================================================

An environment reads the version, consistently, once per invocation, and the keys only when it has changed. So
no environment that takes over a shard works on a key that another one has just parked: both happen after
each other, as a shard's batches do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.chance import uniform
from resilient_runtime.clock import SYSTEM_CLOCK, Clock
from resilient_runtime.streams.records import StreamRecord

from .refusals import code_of

__all__ = ["DynamoDBParkedKeys", "KeepsItems"]

_VERSION = {"name": {"S": "version"}}
_PREFIX = "key:"
_LONGEST_NAMED = 1024
"""Bytes of the longest key that stands in its item's name, which may have 2,048. No key of Kinesis has more;
that of a table's stream is the JSON of its item's key, of up to 3,072 bytes before they are escaped.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""
_TRIES = 5
_LONGEST_FIRST_PAUSE = 0.05
"""Seconds; twice as many before each next try. Whoever else changes the version does it in milliseconds."""
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons of a cancelled transaction that may be gone at the next try. botocore tries none of them again.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""


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
    :param sleep: waits before a change is tried again with which another one was in conflict
    :param chance: 0 or more and less than 1, at random: how much of the longest pause is waited
    :param left: seconds that may be waited. Default: as long as it takes
    """

    def __init__(
        self,
        table_name: str,
        *,
        connect: Callable[[], KeepsItems] = dynamodb_client,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = uniform,
        left: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self.table_name = table_name
        self._connect = connect
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._left = left
        self._client: KeepsItems | None = None
        self._version: str | None = None
        self._parked_by: Mapping[str, str] = {}

    def read(self) -> set[str]:
        """The keys that are parked now.

        :raises Exception: whatever the client raises
        """
        found = self._connected().get_item(TableName=self.table_name, Key=_VERSION, ConsistentRead=True)
        version = found.get("Item", {}).get("version", {}).get("N", "0")
        if version != self._version:
            self._parked_by = self._scanned()
            self._version = version
        return set(self._parked_by)

    def holds_back(self, record: StreamRecord) -> bool:
        """Whether a record comes after the one that parked its key, as it was last read.

        That one itself, and those before it, come again because the batch did: they have to be tried.
        """
        by = self._parked_by.get(record.key)
        if by is None:
            return False
        shard, _, sequence = by.rpartition(":")
        return shard != record.shard or _padded(record.sequence) > _padded(sequence)

    def add(self, key: str, record: StreamRecord) -> None:
        """Park a key because of a record.

        :raises Exception: whatever the client raises; the key is then not known to be parked
        """
        item = _name_of(key)
        names = {"#since": "since", "#record": "record", "#first": "first"}
        values = {
            ":now": {"N": f"{self._clock.wall():.3f}"},
            ":record": {"S": f"{record.shard}:{record.sequence}"},
            ":first": {"S": _padded(record.sequence)},
        }
        expression = "SET #since = if_not_exists(#since, :now), #record = :record, #first = :first"
        if "key" in item:
            names["#key"], values[":key"] = "key", item["key"]
            expression += ", #key = :key"
        # No Put: a key that is parked again, by a record that came again, may have others behind it.
        update = {
            "TableName": self.table_name,
            "Key": {"name": item["name"]},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        self._change({"Update": update})

    def wait(self, key: str, record: StreamRecord) -> None:
        """Note, before a record is kept behind its key's poison, that it is the last one there.

        :raises Exception: whatever the client raises; also when the key is no longer parked
        """
        self._patiently(
            self._connected().update_item,
            TableName=self.table_name,
            Key={"name": _name_of(key)["name"]},
            UpdateExpression="SET #last = :last",
            ConditionExpression="attribute_exists(#since)",
            ExpressionAttributeNames={"#last": "last", "#since": "since"},
            ExpressionAttributeValues={":last": {"S": _padded(record.sequence)}},
        )

    def remove(self, key: str, *, replayed_to: str | None) -> None:
        """Let a key's records be done again, unless one was kept behind it since, or it was parked since.

        The latter where what was replayed had not parked its key itself: a record that Lambda gave up.

        :param replayed_to: sequence number of the last record that was replayed; None when none was
        :raises Exception: whatever the client raises; the key is then not known to be free
        """
        free = "attribute_not_exists(#last)"
        names = {"#last": "last"}
        values: Mapping[str, Any] = {}
        if replayed_to is not None:
            names["#first"] = "first"
            free = f"({free} OR #last <= :replayed) AND (attribute_not_exists(#first) OR #first <= :replayed)"
            values = {"ExpressionAttributeValues": {":replayed": {"S": _padded(replayed_to)}}}
        delete = {
            "TableName": self.table_name,
            "Key": {"name": _name_of(key)["name"]},
            "ConditionExpression": free,
            "ExpressionAttributeNames": names,
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
        self._patiently(self._connected().transact_write_items, TransactItems=[write, {"Update": counted}])

    def _patiently(self, call: Callable[..., object], **arguments: Any) -> None:
        """All keys share one version, so shards that find poison at once get in each other's way."""
        for attempt in range(_TRIES):
            try:
                call(**arguments)
            except Exception as error:
                pause = self._chance() * _LONGEST_FIRST_PAUSE * 2**attempt
                if attempt == _TRIES - 1 or not _may_pass(error) or pause >= self._left():
                    raise
            else:
                return
            self._sleep(pause)

    def _scanned(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        more: Mapping[str, Any] = {}
        while True:
            page = self._connected().scan(TableName=self.table_name, ConsistentRead=True, **more)
            for item in page.get("Items", ()):
                name = item["name"]["S"]
                if name.startswith(_PREFIX):
                    key = item.get("key", {}).get("S") or name.removeprefix(_PREFIX)
                    keys[key] = item.get("record", {}).get("S", "")
            if not page.get("LastEvaluatedKey"):
                return keys
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _connected(self) -> KeepsItems:
        if self._client is None:
            self._client = self._connect()
        return self._client


def _name_of(key: str) -> dict[str, dict[str, str]]:
    """The attributes by which a key's item is known."""
    content = key.encode()
    if len(content) <= _LONGEST_NAMED:
        return {"name": {"S": _PREFIX + key}}
    # Late on purpose: hardly any key is so long.
    from hashlib import sha256

    return {"name": {"S": f"{_PREFIX}sha256:{sha256(content).hexdigest()}"}, "key": {"S": key}}


def _may_pass(error: Exception) -> bool:
    """Whether another change was in the way, and nothing that will be in the way of the next try."""
    code = code_of(error)
    if code != "TransactionCanceledException":
        return code == "TransactionConflictException"
    reasons = getattr(error, "response", {}).get("CancellationReasons", ())
    codes = {reason.get("Code") for reason in reasons} - {"None", None}
    return bool(codes) and codes <= _PASSING


def _padded(sequence: str) -> str:
    # A sequence number of Kinesis has up to 56 digits, and a number of DynamoDB's 38.
    return sequence.rjust(64, "0")
