"""Poison records done again, those of one key in the order in which they came.

To the stream they come back behind everything that is there; straight to the handler they come at once, and a
key that is parked is done before what comes after it. Whatever is not known to have been taken stays in the
store, and with it all later records of its key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from resilient_runtime.streams.records import REPLAYED

from .poison import Entry, PoisonStore, by_key

__all__ = ["Replayed", "ToHandler", "ToStream", "replay"]

_GONE = "the stream had dropped it: only its position is known"
_NO_OBJECT = "the bucket has it no more: only its position is known"
_BEHIND = "an earlier record of its key stays"
_AT_ONCE = 100
_MOST_BYTES = 5_000_000
"""An invocation's payload: 6 MB, with room for what is around the records.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of one record.

    :param problem: why it stays; None when it was taken
    """

    entry: Entry
    problem: str | None = None


class Target(Protocol):
    """Where records are done again."""

    def take(self, entries: Sequence[Entry]) -> tuple[int, str]:
        """How many of these, from the first on, were taken; and what kept the next one from it."""
        ...


def replay(store: PoisonStore, entries: Sequence[Entry], target: Target) -> list[Replayed]:
    """Do records again, and remove from the store what was taken.

    :param entries: taken from the store. Those that stay are not put back here
    """
    results: list[Replayed] = []
    for _, of_key in by_key(entries):
        whole = [entry for entry in of_key if entry.record is not None]
        gone = [entry for entry in of_key if entry.record is None]
        results += [Replayed(entry=entry, problem=_NO_OBJECT if entry.stored_in else _GONE) for entry in gone]
        count, problem = 0, ""
        while count < len(whole) and not problem:
            taken, problem = target.take(whole[count:])
            for entry in whole[count : count + taken]:
                store.remove(entry)
                results.append(Replayed(entry=entry))
            count += taken
        for at, entry in enumerate(whole[count:]):
            results.append(Replayed(entry=entry, problem=_BEHIND if at else problem))
    return results


@dataclass(frozen=True, kw_only=True)
class ToStream:
    """Puts records into the stream that they came from.

    :param client: of Kinesis
    """

    client: Any

    def take(self, entries: Sequence[Entry]) -> tuple[int, str]:
        """One after the other, each ordered after the one before.

        https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
        """
        after: dict[str, str] = {}
        for at, entry in enumerate(entries):
            said = (entry.record or {}).get("kinesis")
            if said is None:
                return at, "a table's stream takes no records: replay it to the handler (--to handler)"
            if entry.told.get("parked_table"):
                # Behind what is in the stream, it would be parked once more, or be overtaken.
                return at, "its key is parked: replay it to the handler (--to handler)"
            try:
                answer = self.client.put_record(
                    StreamARN=entry.told["stream"],
                    Data=base64.b64decode(said["data"]),
                    PartitionKey=said["partitionKey"],
                    **after,
                )
            except Exception as error:  # noqa: BLE001  told, and the record stays
                return at, f"{type(error).__name__}: {error}"
            after = {"SequenceNumberForOrdering": answer["SequenceNumber"]}
        return len(entries), ""


@dataclass(frozen=True, kw_only=True)
class ToHandler:
    """Invokes the function with records as a stream would.

    :param client: of Lambda
    :param function: its name or ARN
    """

    client: Any
    function: str

    def take(self, entries: Sequence[Entry]) -> tuple[int, str]:
        """As many at once as an invocation holds.

        https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        """
        batch = _that_fit(entries)
        event = {"Records": [entry.record for entry in batch], REPLAYED: True}
        try:
            answer = self.client.invoke(FunctionName=self.function, Payload=json.dumps(event).encode())
            said = json.loads(answer["Payload"].read() or b"null")
        except Exception as error:  # noqa: BLE001  told, and the records stay
            return 0, f"{type(error).__name__}: {error}"
        if answer.get("FunctionError"):
            return 0, f"the function failed: {str(said)[:300]}"
        return _passed(batch, said)


def _that_fit(entries: Sequence[Entry]) -> Sequence[Entry]:
    size, count = 0, 0
    for entry in entries[:_AT_ONCE]:
        size += len(json.dumps(entry.record))
        if count and size > _MOST_BYTES:
            break
        count += 1
    return entries[:count]


def _passed(batch: Sequence[Entry], said: object) -> tuple[int, str]:
    failures = said.get("batchItemFailures") if isinstance(said, Mapping) else None
    if not failures:
        return len(batch), ""
    wanted = {str(one.get("itemIdentifier")) for one in failures}
    for at, entry in enumerate(batch):
        if str(entry.told["sequence_number"]) in wanted:
            return at, "the function gave it back; its log says why"
    # AWS takes an identifier that it does not know for the whole batch having failed.
    return 0, f"the function gave back records that it was not given: {sorted(wanted)}"
