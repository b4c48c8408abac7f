"""Poison records done again, those of one key in the order in which they came.

To the stream they come back behind everything that is there; straight to the handler they come at once, and a
key that is parked is done before what comes after it. Whatever is not known to have been taken stays in the
store, and with it all later records of its key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from resilient_runtime.streams.records import REPLAYED

from .errors import OperateError, refusal
from .parked import ParkedTables
from .poison import PoisonStore
from .poison_entries import Entry, by_key
from .removal import Removal

__all__ = ["SEEN", "Replayed", "ToHandler", "ToStream", "replay"]

_GONE = "the stream had dropped it: only its position is known"
_NO_OBJECT = "the bucket has it no more: only its position is known"
_BEHIND = "an earlier record of its key stays"
SEEN = (
    "it could not be hidden any longer, so others may have it by now: this took too long, or somebody else is"
    " at work on it. Run the same command again"
)
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
        """How many of these, from the first on, one step took; and what kept the next one from it."""
        ...


def replay(
    store: PoisonStore, removal: Removal, entries: Sequence[Entry], target: Target
) -> Iterator[Replayed]:
    """Do records again, and remove from the store what was taken; tells of each as soon as it is known.

    Before each step all that is still to be done is hidden for as long as one may take. A key of which that
    is refused is left alone: others may have seen its records by then.

    :param entries: taken from the store. Those that stay are not put back here
    """
    for _, of_key in by_key(entries):
        gone = [entry for entry in of_key if entry.is_gone]
        yield from (Replayed(entry=entry, problem=_NO_OBJECT if entry.stored_in else _GONE) for entry in gone)
        left, problem = [entry for entry in of_key if not entry.is_gone], ""
        while left and not problem:
            count, problem = _step(store, left, target)
            done, left = left[:count], left[count:]
            kept = _removed(removal, done) if done else ""
            yield from (Replayed(entry=one, problem=kept if removal.is_left(one) else None) for one in done)
            problem = problem or (_BEHIND if kept else "")
        for at, entry in enumerate(left):
            yield Replayed(entry=entry, problem=_BEHIND if at else problem)


def _step(store: PoisonStore, left: Sequence[Entry], target: Target) -> tuple[int, str]:
    if left[0].unreadable:
        return 0, left[0].unreadable
    try:
        if store.hold(left):
            return 0, SEEN
    except OperateError as error:
        return 0, str(error)
    readable = next((at for at, entry in enumerate(left) if entry.unreadable), len(left))
    return target.take(left[:readable])


def _removed(removal: Removal, done: Sequence[Entry]) -> str:
    try:
        return removal.remove(done)
    except OperateError as error:
        return f"it is done, but could not be taken out, so it may be done once more: {error}"


@dataclass(kw_only=True)
class ToStream:
    """Puts records into the stream that they came from.

    :param client: of Kinesis
    :param keys: which keys wait
    """

    client: Any
    keys: ParkedTables
    _after: dict[tuple[str, str], str] = field(default_factory=dict, init=False)

    def take(self, entries: Sequence[Entry]) -> tuple[int, str]:
        """One after the other, each ordered after the one before.

        https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
        """
        some = entries[:_AT_ONCE]
        for at, entry in enumerate(some):
            said = (entry.record or {}).get("kinesis")
            if said is None:
                return at, "a table's stream takes no records: replay it to the handler (--to handler)"
            after = self._after.get(entry.whose)
            more = {} if after is None else {"SequenceNumberForOrdering": after}
            if self.keys.of([entry]) is not None:
                # Behind what is in the stream, it would be parked once more, or be overtaken.
                return at, "its key is parked: replay it to the handler (--to handler)"
            try:
                answer = self.client.put_record(
                    StreamARN=entry.told["stream"],
                    Data=base64.b64decode(said["data"]),
                    PartitionKey=said["partitionKey"],
                    **more,
                )
            except Exception as error:  # noqa: BLE001  told, and the record stays
                return at, refusal(f"kinesis:PutRecord on {entry.told['stream']}", error)
            self._after[entry.whose] = answer["SequenceNumber"]
        return len(some), ""


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
            return 0, refusal(f"lambda:InvokeFunction on {self.function}", error)
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
