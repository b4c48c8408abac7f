"""Fetches the records that Lambda gave up into the poison store: its on-failure destination has none of them.

Lambda gives records up when the process that handled them died each time (a crash, no memory, a timeout that
nothing could interrupt), when the function raised or gave them back each time, or when they got too old. This
is the handler of the queue that is told of it, in mode ``messages``: a message is done once all its records
are kept, and what the stream no longer has is told and kept as a position.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .call import Call
from .clock import SYSTEM_CLOCK, Clock
from .reject import Reject
from .streams.discarded import Discarded, read_discarded
from .streams.entries import VERSION, entry_of
from .streams.keeping import PoisonStore
from .streams.records import StreamRecord, read_record

__all__ = ["Resolver", "resolve"]

_TOO_LATE = "Lengthen the stream's retention, or shorten the way to it"
_AGED = "it got older than the event source mapping's maximum record age before it was done"


class ReadsRanges(Protocol):
    """Where discarded records are read from."""

    def read(self, wanted: Discarded) -> Iterable[Mapping[str, Any]]:
        """Those records of the range that the stream still has, in order, as Lambda delivers them."""
        ...


class Resolver:
    """Brings discarded records into the poison store.

    :param ranges: where they are read
    :param poison: where they are kept
    :param emit: takes a record about those that are lost
    :param parked_table: the table in which the consumer parks keys. A record may be given up after its key
        was parked and before it was kept, and whoever replays it has to free that
    """

    def __init__(
        self,
        *,
        ranges: ReadsRanges,
        poison: PoisonStore,
        function_name: str,
        emit: Callable[[str, Mapping[str, Any], str], None],
        parked_table: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ranges = ranges
        self._poison = poison
        self._function_name = function_name
        self._emit = emit
        self._parked_table = parked_table
        self._clock = clock

    def resolve(self, body: Any, call: Call) -> None:
        """Keep the records of one message.

        :raises Reject: when the message is not from Lambda
        :raises Exception: whatever reading or keeping raised; the message comes again
        """
        try:
            discarded = read_discarded(body)
        except ValueError as error:
            raise Reject(str(error)) from error
        first: StreamRecord | None = None
        kept = 0
        for raw in self._ranges.read(discarded):
            record = read_record(raw)
            first = first or record
            self._keep(record, discarded, call)
            kept += 1
        if first is None or int(first.sequence) > int(discarded.first):
            # A stream drops its oldest records first, so what is missing is missing at the beginning.
            self._keep_position(discarded, call, None if first is None else first.sequence, kept)
        self._tell("RESOLVED", discarded, call, {"records": kept}, "Resolved")

    def _keep(self, record: StreamRecord, discarded: Discarded, call: Call) -> None:
        self._poison.store(
            entry_of(
                record,
                discarded.kind,
                reason=_AGED if discarded.kind == "AGED" else _given_up(discarded),
                stored_at=self._now(),
                error=discarded.condition or None,
                strikes=discarded.invocations,
                function_name=self._function_name,
                request_id=call.request_id,
                correlation_id=call.correlation_id,
                parked_table=self._parked_table,
            )
        )

    def _keep_position(self, discarded: Discarded, call: Call, until: str | None, kept: int) -> None:
        """The stream dropped records before anybody could read them: that is all that can be kept of them."""
        missing = max(discarded.records - kept, 1)
        before = "the range's end" if until is None else f"record {until}"
        reason = (
            f"the stream had dropped it, and what followed up to {before}, about {missing} records, before "
            f"anybody could read them. {_TOO_LATE}"
        )
        self._poison.store(
            {
                "version": VERSION,
                "kind": "EXPIRED",
                "stream": discarded.stream,
                "shard": discarded.shard,
                "sequence_number": discarded.first,
                "last_sequence_number": discarded.last,
                "records": missing,
                "arrived": discarded.arrived,
                "reason": reason,
                "error": discarded.condition,
                "strikes": discarded.invocations,
                "function_name": self._function_name,
                "request_id": call.request_id,
                "correlation_id": call.correlation_id,
                "stored_at": self._now(),
                "record": None,
            }
        )
        self._tell("EXPIRED", discarded, call, {"records": missing, "reason": reason}, "RecordsExpired")

    def _tell(
        self, status: str, discarded: Discarded, call: Call, members: Mapping[str, Any], counts: str
    ) -> None:
        about = {
            "request_id": call.request_id,
            "stream": discarded.stream,
            "shard": discarded.shard,
            "first_sequence_number": discarded.first,
            "last_sequence_number": discarded.last,
            "condition": discarded.condition,
        }
        try:  # noqa: SIM105  what is kept must not be kept again because a log is full
            self._emit(status, about | dict(members), counts)
        except Exception:  # noqa: BLE001, S110
            pass

    def _now(self) -> str:
        wall = self._clock.wall()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))
        return f"{at}.{int(wall * 1000) % 1000:03d}Z"


def _given_up(discarded: Discarded) -> str:
    """Why Lambda gave a record up: it tells that it tried, not why that was for nothing. Likeliest first."""
    facts = [f"about {discarded.invocations} attempts"] if discarded.invocations else []
    facts += [f"function error: {discarded.function_error}"] if discarded.function_error else []
    known = f" ({'; '.join(facts)})" if facts else ""
    return (
        f"Lambda gave it up{known}: the process that handled it died or did not end in time; or the function"
        " raised; or gave it back each time, as it could not be kept or waited for an outage to end"
    )


def resolve(body: Any, call: Call) -> None:
    """The handler. Reads ``RESILIENT_STREAM``, as the function does whose records they were.

    :raises ValueError: when that is not set
    """
    global _resolver
    if _resolver is None:
        _resolver = _equipped(os.environ)
    _resolver.resolve(body, call)


_resolver: Resolver | None = None


def _equipped(env: Mapping[str, str]) -> Resolver:
    # Late on purpose: whoever tests a resolver needs none of these.
    from .application import print_line
    from .rare_records import RareRecords
    from .settings import Settings
    from .stores.poison import PoisonQueue
    from .stores.stream_ranges import StreamRanges

    settings = Settings.from_env(env)
    stream = settings.stream
    if stream is None:
        raise ValueError("RESILIENT_STREAM is not set: it is not known where poison is kept; deploy again")
    name = env.get("AWS_LAMBDA_FUNCTION_NAME") or settings.service
    records = RareRecords(service=settings.service, function_name=name, clock=SYSTEM_CLOCK, emit=print_line)
    return Resolver(
        ranges=StreamRanges(sleep=time.sleep),
        poison=PoisonQueue(stream.poison_queue_url, stream.poison_bucket, stream.poison_prefix),
        function_name=name,
        emit=lambda status, members, counts: records.record(status, members, counts=counts),
        parked_table=stream.parked_table,
    )
