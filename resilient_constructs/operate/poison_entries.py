"""The records of a poison store as they are looked at: which one is which, and which come first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .errors import OperateError

__all__ = ["Entry", "by_key", "chosen", "in_order", "parsed", "worth"]

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One record in the store; ``resilient_runtime.streams.entries`` lists the members of ``told``.

    :param receipts: of every message that holds it: it may have been kept twice
    :param stored_in: bucket and key of its object, when a message could not hold it
    :param unreadable: why its object cannot be read now; None when it can, or is not there any more
    """

    told: Mapping[str, Any]
    receipts: tuple[str, ...] = ()
    stored_in: tuple[str, str] | None = None
    unreadable: str | None = None

    @property
    def id(self) -> str:
        """What names it on the command line: shard and sequence number."""
        return f"{str(self.told['shard']).rpartition('/')[2]}:{self.told['sequence_number']}"

    @property
    def key(self) -> str:
        """The partition key; empty for what is known by its position alone."""
        return str(self.told.get("partition_key", ""))

    @property
    def whose(self) -> tuple[str, str]:
        """Stream and key: records of the same have an order."""
        return str(self.told["stream"]), self.key

    @property
    def order(self) -> tuple[str, str, int]:
        """Sorts the records of a stream by key, and those of a key as they came."""
        return (*self.whose, int(self.told["sequence_number"]))

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The record as Lambda delivered it; None when the stream had dropped it, or it cannot be read."""
        found = self.told.get("record")
        return found if isinstance(found, Mapping) else None

    @property
    def parked_table(self) -> str | None:
        """The table in which its key is parked, if it is."""
        found = self.told.get("parked_table")
        return str(found) if found else None

    @property
    def is_gone(self) -> bool:
        """Whether nothing but its position is left: nobody can do it again."""
        return self.record is None and self.unreadable is None


def chosen(entries: Sequence[Entry], ids: Sequence[str], key: str | None) -> list[Entry]:
    """Those that were asked for: by id, by partition key, or all.

    :raises OperateError: when an id is unknown; all of them at once
    """
    known = {entry.id for entry in entries}
    if unknown := [one for one in ids if one not in known]:
        raise OperateError(f"not in the store: {', '.join(unknown)}; `resilient poison list` shows what is")
    return [entry for entry in entries if (not ids or entry.id in ids) and (key is None or entry.key == key)]


def in_order(wanted: Sequence[Entry], entries: Sequence[Entry]) -> None:
    """Nothing, when nothing of what is wanted would overtake an earlier record of its key.

    :raises OperateError: when something would; all of it at once
    """
    taken = {id(entry) for entry in wanted}
    faults = []
    for key, of_key in by_key(entries):
        last = max((at for at, entry in enumerate(of_key) if id(entry) in taken), default=0)
        # What is gone for good can be waited for by nobody.
        before = [one.id for one in of_key[:last] if id(one) not in taken and not one.is_gone]
        if before:
            more = f" and {len(before) - _NAMED} more" if len(before) > _NAMED else ""
            faults.append(f"{of_key[last].id} comes after {', '.join(before[:_NAMED])}{more} of key {key!r}")
    if faults:
        raise OperateError(
            f"nothing was done: {'; '.join(faults)}. Replay the earlier ones with it (--key), or discard them"
            " first"
        )


def by_key(entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The records of each key in the order in which they came."""
    ordered = sorted(entries, key=lambda entry: entry.order)
    for (_, key), of_key in groupby(ordered, key=lambda entry: entry.whose):
        yield key, list(of_key)


def worth(told: Mapping[str, Any]) -> tuple[bool, bool]:
    """Of one record kept twice: the whole one, and the one that says what it holds back."""
    return isinstance(told.get("record"), Mapping), bool(told.get("parked_table"))


def parsed(body: str | bytes, where: str) -> Mapping[str, Any]:
    """An entry from its text.

    :raises OperateError: when it is none, or a newer one than is known here
    """
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not {"version", "kind", "shard", "sequence_number"} <= told.keys():
        raise OperateError(f"{where} is no record of a poison store; nothing was changed")
    if told["version"] != 1:
        raise OperateError(
            f"{where} has version {told['version']}; this program knows 1. Install a newer one"
        )
    return told
