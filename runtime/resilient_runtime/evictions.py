"""Messages that are too old to be worth doing: archived whole, told, and only then done with.

The archive comes first. A message that it does not take goes back to its queue; one that it took and that
could not be told of stays there, and the log has its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from .call import Call
from .clock import Clock
from .interruption import DeadlineExceeded
from .lifecycle import Guard, under_guard
from .rare_records import RareRecords
from .settings import EvictionSettings
from .shedding import Eviction, age_of, document_of, event_of, returns_after

__all__ = ["Archive", "Evictions", "TellsEvents"]

_AT_ONCE = 10
"""https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html"""

_REFUSED_BEFORE = "the archive has just refused another message of this batch, so this one was not tried"
_NO_TIME = "the time of this invocation is over"
_NOT_ARCHIVED = (
    "The message is too old to be worth doing, but the archive did not take it, so it was returned to its "
    "queue and nothing is lost; it is tried again. Check s3:PutObject of the function's role on this key, "
    "kms:GenerateDataKey on the bucket's customer key where it has one, and that the bucket exists."
)
_NOT_TOLD = (
    "The message is safe in the archive under this key; only the event about it was not sent, and is not "
    "sent again. Check events:PutEvents of the function's role on the account's default bus."
)


class Archive(Protocol):
    """Where evicted messages are safe."""

    def put(self, key: str, document: str) -> None:
        """Return once the document is stored; raise when it is not known to be."""
        ...


class TellsEvents(Protocol):
    """Who is told of evictions."""

    def put(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
        """Tell, at most ten at a time; the places of those that were refused, with the reason."""
        ...


class Evictions:
    """Evicts the messages of one function.

    :param settings: from which age, and where to
    :param consumer: who evicts, as the archive and the event name it
    :param records: writes EVICTED, NOT_ARCHIVED and EVICTION_NOT_TOLD
    :param shown: a text without its secrets
    """

    def __init__(
        self,
        settings: EvictionSettings,
        *,
        consumer: str,
        archive: Archive,
        bus: TellsEvents,
        records: RareRecords,
        guard: Guard,
        clock: Clock,
        shown: Callable[[object], str],
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._archive = archive
        self._bus = bus
        self._records = records
        self._guard = guard
        self._clock = clock
        self._shown = shown
        self._untold: list[Eviction] = []
        self._refused = False

    def begin(self) -> None:
        """A batch begins."""
        self._untold = []
        self._refused = False

    def is_due(self, record: Mapping[str, Any]) -> bool:
        """Whether the message is too old to be begun, and there is time to archive it."""
        age = age_of(record, now=self._clock.wall())
        return age is not None and age >= self._settings.after and not self._guard.passed

    def evict(self, record: Mapping[str, Any], call: Call) -> float | None:
        """Archive a message that is due.

        :returns: None when it is done with; otherwise the seconds after which it should come again
        """
        eviction = Eviction.of(record, call, self._settings, now=self._clock.wall())
        error = self._archived(eviction)
        if error is not None:
            self._tell(
                "NOT_ARCHIVED", eviction, {"error": error, "remedy": _NOT_ARCHIVED}, counts="NotArchived"
            )
            return returns_after(call.attempt)
        self._tell("EVICTED", eviction, {}, counts="Evicted")
        self._untold.append(eviction)
        if len(self._untold) == _AT_ONCE:
            self.tell()
        return None

    def tell(self) -> None:
        """Send the events of those that are archived; called once more when the batch is over."""
        told, self._untold = self._untold, []
        if not told:
            return
        if self._guard.passed:
            refused: Mapping[int, str] = dict.fromkeys(range(len(told)), _NO_TIME)
        else:
            refused = self._refused_of(told)
        for place, why in refused.items():
            about = {"error": why, "remedy": _NOT_TOLD}
            self._tell("EVICTION_NOT_TOLD", told[place], about, counts="EvictionNotTold")

    def _refused_of(self, told: Sequence[Eviction]) -> Mapping[int, str]:
        """The places of those whose events were not sent, with the reason."""
        entries = [event_of(one, self._settings, consumer=self._consumer) for one in told]
        try:
            # Interrupted in time, too: who cannot tell must still report what is done with.
            return under_guard(self._guard, lambda: self._bus.put(entries))
        except (Exception, DeadlineExceeded) as error:  # noqa: BLE001  they are archived, that is what counts
            return dict.fromkeys(range(len(told)), self._described(error))

    def _archived(self, eviction: Eviction) -> str | None:
        """Why the archive does not have it; None when it does."""
        if self._refused:
            # Its time-outs would add up over a batch, and cost it what it has completed.
            return _REFUSED_BEFORE
        document = document_of(eviction, consumer=self._consumer, evict_after=self._settings.after)
        try:
            under_guard(self._guard, lambda: self._archive.put(eviction.key, document))
        except (Exception, DeadlineExceeded) as error:  # noqa: BLE001  whatever kept it from being stored
            self._refused = True
            return self._described(error)
        return None

    def _described(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {self._shown(error)}"

    def _tell(self, status: str, eviction: Eviction, more: Mapping[str, Any], *, counts: str) -> None:
        call = eviction.call
        about = {
            "correlation_id": call.correlation_id,
            "message_id": call.message_id,
            "attempt": call.attempt,
            **({} if call.lane is None else {"lane": call.lane}),
            "request_id": call.request_id,
            **more,
            "age_seconds": eviction.age,
            "bucket": self._settings.bucket,
            "key": eviction.key,
        }
        with suppress(
            Exception
        ):  # as every record: what is archived must not come back because a log is full
            self._records.record(status, about, counts=counts)
