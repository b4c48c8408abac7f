"""What a walk has done for it, what it sees of that, and what it says in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

__all__ = ["ALONE", "FAILURES", "OTHERS_SUCCEED", "SILENCE", "Effects", "Outcome", "Sight", "Walked"]


class Outcome(Enum):
    """How an attempt ended."""

    DONE = "done"
    REJECTED = "rejected"
    """The handler says that it is poison."""
    FAULT = "fault"
    """It failed, and the downstream is not to blame."""
    WEATHER = "weather"
    """It failed, and the downstream may be to blame."""
    REFUSED = "refused"
    """It was not tried: the circuit is open, it is not this environment's turn, it cannot be known whether it
    was done before, or somebody else is at work on it."""
    NO_TIME = "no time"
    """It was not tried, or not to its end, as the invocation's time is up."""


FAILURES = frozenset({Outcome.REJECTED, Outcome.FAULT, Outcome.WEATHER})
"""Attempts that were made, and came to nothing."""

ALONE = "it failed again, alone"
OTHERS_SUCCEED = "it failed twice while others succeeded"
SILENCE = "it failed at least {} times in a row while the breaker, which sees all shards, stayed closed"
"""What proves that a record is poison."""


class Sight(NamedTuple):
    """What one attempt showed.

    :param error: what was raised, handed on to whoever stores the record
    :param retry_after: seconds before which another attempt is for nothing
    :param is_of_these_alone: whether it was refused for the sake of these records, and others may be begun
    :param proof: why the record is poison, in words, once a walk knows; empty where the handler said so
    """

    outcome: Outcome
    error: BaseException | None = None
    retry_after: float | None = None
    is_of_these_alone: bool = False
    proof: str = ""


class Effects(Protocol):
    """What a walk has done for it."""

    def attempt(self, positions: Sequence[int]) -> Sight:
        """Have the handler do these records, in this order. Must not raise, unless the process is to end."""
        ...

    def store(self, position: int, sight: Sight, strikes: int) -> bool:
        """Keep a poison record; False when it is not known to be kept.

        :param strikes: how many attempts at it failed
        """
        ...

    def park(self, position: int) -> bool:
        """Keep a record behind a poison one of its key; False when it is not known to be kept."""
        ...

    def may_begin(self) -> bool:
        """Whether there is time for one more attempt."""
        ...

    def pause(self, seconds: float) -> bool:
        """Wait for better weather; False when there is no time for it."""
        ...

    def is_watched(self) -> bool:
        """Whether breakers would refuse the calls now, were the downstreams down."""
        ...


class Walked(NamedTuple):
    """What became of a batch.

    :param resume_at: position of the first record that is neither done nor kept; None when there is none
    :param done: positions that the handler did
    :param stored: positions that are kept as poison
    :param parked: positions that are kept behind a poison record of their key
    :param sights: the last sight of each record that is to come again
    """

    resume_at: int | None
    done: frozenset[int]
    stored: frozenset[int]
    parked: frozenset[int]
    sights: Mapping[int, Sight]
