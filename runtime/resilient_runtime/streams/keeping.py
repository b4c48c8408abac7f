"""Puts a record where it is safe, before the shard's checkpoint passes it, and tells so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from resilient_runtime.call import Call
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.lifecycle import Guard, under_guard
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.status import StatusLines, Teller

from .effects import Outcome, Sight
from .entries import Kind, entry_of
from .records import StreamRecord

__all__ = ["Keeping", "PoisonStore"]

_REMEDY = {
    "store": (
        "The record is poison, but the poison store did not take it, so the shard waits at it and nothing is "
        "lost; it is tried again. Check sqs:SendMessage and s3:PutObject of the function's role on the "
        "store's queue and bucket (and the grants on their KMS key), and that both exist."
    ),
    "park": (
        "The record's key is to wait, but that could not be written down, so the shard waits at the record "
        "and nothing is lost or out of order. Check dynamodb:UpdateItem of the function's "
        "role on the table of parked keys, and that it exists."
    ),
    "read": (
        "Which keys are parked is not known, so none of the batch is done, and its order is kept; it is read "
        "again while the invocation lasts. Check dynamodb:GetItem and Scan of the function's role on the "
        "table of parked keys (and the grants on its KMS key), and that it exists."
    ),
}


class PoisonStore(Protocol):
    """Where poison records are safe."""

    def store(self, entry: Mapping[str, Any]) -> None:
        """Return once the entry is stored; raise when it is not known to be."""
        ...


class Keeping:
    """Keeps records of one function's shards.

    :param parked_table: the table in which a record's key is parked, for whoever replays it
    """

    def __init__(
        self,
        poison: PoisonStore,
        *,
        lines: StatusLines,
        records: RareRecords,
        tell: Teller,
        guard: Guard,
        parked_table: str | None = None,
    ) -> None:
        self._parked_table = parked_table
        self._poison = poison
        self._lines = lines
        self._records = records
        self._tell = tell
        self._guard = guard

    def poison(self, record: StreamRecord, call: Call, sight: Sight, strikes: int) -> bool:
        """Keep a record that failed for the last time; False when it is not known to be kept."""
        error = sight.error
        if sight.outcome is Outcome.REJECTED:
            reason = self._lines.shown(getattr(error, "reason", error))
            cause = None if error is None else error.__cause__
        else:
            reason, cause = sight.proof, error
        shown = None if cause is None else f"{type(cause).__name__}: {self._lines.shown(cause)}"
        stack = None if cause is None else self._lines.stack(cause)
        if not self._kept(record, call, "POISON", reason, error=shown, stack=stack, strikes=strikes):
            return False
        if sight.outcome is Outcome.REJECTED:
            # Its STARTED record has this end; every other attempt has had its own.
            self._tell(self._lines.rejected, call, 0.0, reason=reason, error=shown, labelled=True)
        why = {"reason": reason, "error": shown, "strikes": strikes}
        self._told("POISONED", record, call, why, "Poisoned")
        return True

    def park(self, record: StreamRecord, call: Call) -> bool:
        """Keep a record that comes after poison of its key; False when it is not known to be kept."""
        reason = "an earlier record of its key is poison, and not resolved"
        if not self._kept(record, call, "PARKED", reason):
            return False
        self._told("PARKED", record, call, {"reason": reason}, "Parked")
        return True

    def give_back(self, record: StreamRecord, call: Call, sight: Sight) -> None:
        """Tell of a record that is not stored: when it is replayed it is in the store already, and stays.

        The same where its key could not be parked, for which it comes again.
        """
        if sight.outcome is Outcome.REJECTED and sight.error is not None:
            # Its STARTED record has this end; every other attempt has had its own.
            reason = self._lines.shown(getattr(sight.error, "reason", sight.error))
            self._tell(self._lines.failed, call, 0.0, sight.error, record.raw, reason=reason)

    def refused(self, record: StreamRecord, call: Call, error: BaseException, what: str) -> None:
        """Tell that a record could not be kept, and what to do."""
        shown = f"{type(error).__name__}: {self._lines.shown(error)}"
        self._told("NOT_KEPT", record, call, {"error": shown, "remedy": _REMEDY[what]}, "NotKept")

    def _kept(self, record: StreamRecord, call: Call, kind: Kind, reason: str, **more: Any) -> bool:
        entry = entry_of(
            record,
            kind,
            reason=reason,
            stored_at=self._lines.timestamp(),
            function_name=self._lines.function_name,
            request_id=call.request_id,
            correlation_id=call.correlation_id,
            parked_table=self._parked_table,
            **more,
        )
        try:
            under_guard(self._guard, lambda: self._poison.store(entry))
        except (Exception, DeadlineExceeded) as error:  # noqa: BLE001  whatever kept it from being stored
            self.refused(record, call, error, "store")
            return False
        return True

    def _told(
        self, status: str, record: StreamRecord, call: Call, members: Mapping[str, Any], counts: str
    ) -> None:
        about = {
            "correlation_id": call.correlation_id,
            "request_id": call.request_id,
            "stream": record.stream,
            "shard": record.shard,
            "sequence_number": record.sequence,
        }
        known = {name: value for name, value in members.items() if value is not None}
        try:  # noqa: SIM105  as the teller's: a log that is full must not bring the record back
            self._records.record(status, about | known, counts=counts)
        except Exception:  # noqa: BLE001, S110
            pass
