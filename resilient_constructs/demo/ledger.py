"""The ledger: accepted = completed + dead-lettered + waiting, id by id. Anything else is a lost message.

Pure. It believes nobody alone: an order is completed only where the consumer's own COMPLETED record and the
courier's memory agree, and an id that turns up where it can't be is told as loudly as one that is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Attempt", "Evidence", "Fate", "Ledger", "balance"]


class Fate(StrEnum):
    """Where an accepted message is in the end."""

    COMPLETED = "completed"
    DEAD_LETTERED = "dead-lettered"
    WAITING = "waiting"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One request to the API, as its sender knows it.

    :param correlation_id: what it was sent with
    :param status: the HTTP status; None where no answer came, so that nobody knows whether it was accepted
    :param acceptable: False for a malformed request, which the door has to reject
    :param answered_id: the correlation ID in the answer, empty where there was none
    """

    correlation_id: str
    status: int | None
    acceptable: bool = True
    answered_id: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the API promised to deliver it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What each witness says, in correlation IDs; an ID that was seen twice stands there twice.

    :param attempts: every request of the run
    :param records: IDs in COMPLETED status records
    :param deliveries: IDs that the downstream delivered, repetitions included
    :param dead_letters: IDs in each dead-letter queue
    :param waiting: IDs in each queue that is still to be worked on
    """

    attempts: Sequence[Attempt]
    records: Sequence[str]
    deliveries: Sequence[str]
    dead_letters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    waiting: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Every accepted message accounted for, and everything that does not fit.

    :param fates: where each accepted ID is
    :param rejected: how often the door said no, by HTTP status
    :param unanswered: IDs without an answer that turned up nowhere: the client has to try again
    :param duplicates: how often a message was worked on again after it had been completed
    :param discrepancies: what cannot be, one sentence per case
    """

    fates: Mapping[str, Fate]
    rejected: Mapping[int, int]
    unanswered: tuple[str, ...]
    duplicates: int
    discrepancies: tuple[str, ...]

    def ids(self, fate: Fate) -> tuple[str, ...]:
        """The accepted IDs that came to this end, in order."""
        return tuple(sorted(key for key, end in self.fates.items() if end is fate))

    def count(self, fate: Fate) -> int:
        """How many accepted messages came to this end."""
        return sum(1 for end in self.fates.values() if end is fate)

    @property
    def accepted(self) -> int:
        """How many messages the API promised to deliver."""
        return len(self.fates)

    @property
    def lost(self) -> int:
        """How many of them are nowhere."""
        return self.count(Fate.LOST)

    @property
    def rejected_at_the_door(self) -> int:
        """How many requests the API refused: their clients know."""
        return sum(self.rejected.values())

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost and every witness tells the same story."""
        return self.lost == 0 and not self.discrepancies


def balance(evidence: Evidence) -> Ledger:
    """Account for every request.

    An unanswered request that turns up in the system was accepted after all: it is held to the same promise.
    """
    records, deliveries = Counter(evidence.records), Counter(evidence.deliveries)
    dead = _all(evidence.dead_letters.values())
    waiting = _all(evidence.waiting.values())
    seen = records.keys() | deliveries.keys() | dead.keys() | waiting.keys()

    accepted: list[str] = []
    unanswered: list[str] = []
    rejected: Counter[int] = Counter()
    notes: list[str] = []
    for attempt in evidence.attempts:
        key = attempt.correlation_id
        notes += _at_the_door(attempt, seen)
        if attempt.accepted or (attempt.status is None and key in seen):
            accepted.append(key)
        elif attempt.status is None:
            unanswered.append(key)
        else:
            rejected[attempt.status] += 1

    notes += [f"{key} was sent {times} times" for key, times in Counter(accepted).items() if times > 1]
    known = {attempt.correlation_id for attempt in evidence.attempts}
    notes += [f"{key} turned up, yet nobody sent it" for key in sorted(seen - known)]
    fates: dict[str, Fate] = {}
    for key in accepted:
        fates[key] = _fate(key, records, deliveries, dead, waiting)
        notes += _contradictions(key, fates[key], records, deliveries, dead)
    return Ledger(
        fates=fates,
        rejected=dict(sorted(rejected.items())),
        unanswered=tuple(unanswered),
        duplicates=sum(max(records[key], deliveries[key], 1) - 1 for key in fates),
        discrepancies=tuple(notes),
    )


def _all(queues: Iterable[Sequence[str]]) -> Counter[str]:
    return Counter(key for queue in queues for key in queue)


def _at_the_door(attempt: Attempt, seen: Iterable[str]) -> list[str]:
    key = attempt.correlation_id
    if attempt.accepted and not attempt.acceptable:
        return [f"{key} was malformed, yet answered with {attempt.status}"]
    if attempt.accepted and attempt.answered_id != key:
        return [f"{key} was answered with another correlation id, {attempt.answered_id!r}"]
    if attempt.status is not None and not attempt.accepted and key in seen:
        return [f"{key} was refused with {attempt.status}, yet it is in the system"]
    return []


def _fate(
    key: str, records: Counter[str], deliveries: Counter[str], dead: Counter[str], waiting: Counter[str]
) -> Fate:
    if records[key] and deliveries[key]:
        return Fate.COMPLETED
    if dead[key]:
        return Fate.DEAD_LETTERED
    if waiting[key]:
        return Fate.WAITING
    return Fate.LOST


def _contradictions(
    key: str, fate: Fate, records: Counter[str], deliveries: Counter[str], dead: Counter[str]
) -> list[str]:
    if fate is Fate.COMPLETED:
        return [f"{key} is completed, yet in a dead-letter queue too"] if dead[key] else []
    if records[key]:
        return [f"{key} has a COMPLETED record, yet the downstream never delivered it"]
    # A delivery whose answer came too late is waiting for its next attempt, and that is in order.
    if deliveries[key] and fate is not Fate.WAITING:
        return [f"{key} was delivered downstream, yet no COMPLETED record says so"]
    return []
