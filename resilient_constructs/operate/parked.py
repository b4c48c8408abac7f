"""The keys of a consumer that wait: looked at, moved on to the record that is now their first, freed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys

from .errors import OperateError, asked_for
from .poison_entries import Entry

__all__ = ["Parked", "ParkedTables", "find_table"]

_PREFIX = "key:"
_TABLE_PART = "ParkedKeys"
"""What the construct's ID leaves in the name that CloudFormation gives the table."""


class Parked(NamedTuple):
    """A key that waits; ``resilient_runtime.stores.parked_keys`` lists the members of its item.

    :param name: its item's
    :param since: seconds since 1970
    :param record: shard and sequence number of the record that it waits for
    :param last: sequence number of the last one that was kept behind it; None when none was
    """

    table: str
    key: str
    name: str
    since: float
    record: str
    last: str | None

    def waits_for(self, entry: Entry) -> bool:
        """Whether it is this record that it waits for."""
        # The number alone: its shard is not known of what was kept behind it.
        return self.record.rpartition(":")[2] == str(entry.told["sequence_number"])

    def holds(self, entry: Entry) -> bool:
        """Whether a record is of this key, as far as can be told."""
        return entry.key == self.key and entry.parked_table in (None, self.table)


class ParkedTables:
    """The tables that the records of a store name, each read once.

    :param connect: makes a client of a service
    """

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._connect = connect
        self._known: dict[str, dict[str, Parked]] = {}

    def keys(self, table: str) -> Mapping[str, Parked]:
        """The keys that are parked; none where there is no such table any more.

        :raises OperateError: when AWS refuses
        """
        if table not in self._known:
            self._known[table] = {one.key: one for one in self._scanned(table)}
        return self._known[table]

    def of(self, entries: Iterable[Entry]) -> Parked | None:
        """How the key of these records is parked; None when it is not.

        :raises OperateError: when AWS refuses
        """
        named = {(entry.parked_table, entry.key): None for entry in entries if entry.parked_table}
        found = (self.keys(table).get(key) for table, key in named if table)
        return next((one for one in found if one is not None), None)

    def wait_for(self, parked: Parked, entry: Entry) -> None:
        """Let a key wait for another record, now that the one before is done.

        :raises OperateError: when AWS refuses, or it waits for something else by now
        """
        self._wait_for(parked, f"{entry.told['shard']}:{entry.told['sequence_number']}")

    def wait_for_last(self, parked: Parked, shard: str) -> Parked | None:
        """Let a key wait for what was kept behind it last; how it waits now, None when it does no more.

        :raises OperateError: when AWS refuses, or it waits for something else by now
        """
        del self._known[parked.table]
        now = self.keys(parked.table).get(parked.key)
        if now is None or now.last is None:
            return now
        return self._wait_for(now, f"{shard}:{now.last.lstrip('0')}")

    def free(self, parked: Parked, *, up_to: str | None) -> bool:
        """Let a key go on; False when something was kept behind it since, and it waits.

        :param up_to: sequence number of the last record that is done; None when none was kept behind it
        :raises OperateError: when AWS refuses
        """
        keys = DynamoDBParkedKeys(parked.table, connect=lambda: self._connect("dynamodb"))
        needs = f"dynamodb:DeleteItem and UpdateItem on {parked.table}"
        try:
            asked_for(needs, lambda: keys.remove(parked.key, replayed_to=up_to))
        except OperateError as error:
            if "ConditionalCheckFailed" in str(error):
                return False
            raise
        del self._known[parked.table][parked.key]
        return True

    def _wait_for(self, parked: Parked, record: str) -> Parked:
        asked_for(
            f"dynamodb:UpdateItem on {parked.table}",
            lambda: self._connect("dynamodb").update_item(
                TableName=parked.table,
                Key={"name": {"S": parked.name}},
                UpdateExpression="SET #record = :to",
                ConditionExpression="#record = :from",
                ExpressionAttributeNames={"#record": "record"},
                ExpressionAttributeValues={":to": {"S": record}, ":from": {"S": parked.record}},
            ),
        )
        self._known[parked.table][parked.key] = now = parked._replace(record=record)
        return now

    def _scanned(self, table: str) -> list[Parked]:
        pages = asked_for(f"dynamodb:Scan on {table}", lambda: self._pages(table))
        return [
            Parked(
                table=table,
                # A key that is too long to be its item's name stands beside its digest.
                key=item["key"]["S"] if "key" in item else item["name"]["S"].removeprefix(_PREFIX),
                name=item["name"]["S"],
                since=float(item.get("since", {}).get("N", "0")),
                record=item.get("record", {}).get("S", ""),
                last=item["last"]["S"] if "last" in item else None,
            )
            for page in pages
            for item in page["Items"]
            if item["name"]["S"].startswith(_PREFIX)
        ]

    def _pages(self, table: str) -> list[Mapping[str, Any]]:
        client = self._connect("dynamodb")
        try:
            return list(client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True))
        except client.exceptions.ResourceNotFoundException:
            # Nothing parks any more. Its records are replayed like all others.
            return []


def find_table(wanted: str | None, connect: Callable[[str], Any]) -> str:
    """The table of parked keys that was named, or the only one there is.

    :raises OperateError: when there is none, or more than one to choose from, or AWS refuses
    """
    if wanted is not None:
        return wanted
    pages = asked_for(
        "dynamodb:ListTables",
        lambda: list(connect("dynamodb").get_paginator("list_tables").paginate()),
        cure="name the table of parked keys with --table instead",
    )
    found = [name for page in pages for name in page["TableNames"] if _TABLE_PART in name]
    if len(found) == 1:
        return str(found[0])
    which = "there is none" if not found else "these have: " + ", ".join(sorted(found))
    raise OperateError(f"which table of parked keys? Give --table; by their names, {which}")
