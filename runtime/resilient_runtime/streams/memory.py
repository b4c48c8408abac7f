"""What one execution environment remembers of records that come again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

__all__ = ["Memory", "Seen"]

_LANES = 10
"""Batches of one shard that may be under way at once, and so come here in turn.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
"""


class Seen:
    """What is known of one batch, by position."""

    def __init__(
        self,
        strikes: dict[int, int] | None = None,
        done: Collection[int] = (),
        doubts: dict[int, int] | None = None,
        failures: dict[int, int] | None = None,
    ) -> None:
        self._strikes = dict(strikes or {})
        self._done = set(done)
        self._doubts = dict(doubts or {})
        self._failures = dict(failures or {})

    def failures(self, position: int) -> int:
        """How many attempts at the record failed, whoever was to blame."""
        return self._failures.get(position, 0)

    def failed(self, position: int) -> None:
        """One more did."""
        self._failures[position] = self.failures(position) + 1

    def strikes(self, position: int) -> int:
        """How often the record failed so that it may be poison."""
        return self._strikes.get(position, 0)

    def strike(self, position: int) -> None:
        """It failed so once more."""
        self._strikes[position] = self.strikes(position) + 1

    def doubts(self, position: int) -> int:
        """How often it failed in a row while nothing else told why."""
        return self._doubts.get(position, 0)

    def doubt(self, position: int) -> int:
        """It failed so once more; how often by now."""
        self._doubts[position] = self.doubts(position) + 1
        return self._doubts[position]

    def forget_doubts(self) -> None:
        """Something else told."""
        self._doubts.clear()

    def is_done(self, position: int) -> bool:
        """Whether it was done or kept here, in this batch or when it came before."""
        return position in self._done

    def done(self, position: int) -> None:
        """It is done or kept."""
        self._done.add(position)


class _Known(NamedTuple):
    """What is remembered of one record."""

    strikes: int
    is_done: bool
    doubts: int
    failures: int


_NOTHING = _Known(0, False, 0, 0)


def _known(seen: Seen, at: int) -> _Known:
    return _Known(seen.strikes(at), seen.is_done(at), seen.doubts(at), seen.failures(at))


class Memory:
    """What came of the records behind the one that a shard was last told to go on at.

    Lambda gives a shard's batches to any environment, and a process may die: this spares work and is no
    record of it. What is not remembered is done twice, and a record is suspected one attempt later. Of a
    batch that was passed nothing is remembered, so that whoever rewinds a stream has it all done again.
    """

    def __init__(self) -> None:
        self._by_shard: dict[str, list[dict[str, _Known]]] = {}
        """Of the last batches of each shard that were here."""

    def of(self, shard: str, records: Sequence[str]) -> Seen:
        """What is remembered of a batch.

        :param records: the sequence number of each record
        """
        known: dict[str, _Known] = {}
        for batch in self._by_shard.get(shard, ()):
            known |= batch
        found = {at: known[record] for at, record in enumerate(records) if record in known} if known else {}
        return Seen(
            {at: one.strikes for at, one in found.items() if one.strikes},
            [at for at, one in found.items() if one.is_done],
            {at: one.doubts for at, one in found.items() if one.doubts},
            {at: one.failures for at, one in found.items() if one.failures},
        )

    def keep(self, shard: str, records: Sequence[str], seen: Seen, resume_at: int | None) -> None:
        """A batch is over; what comes again is remembered until the shard has had as many as run at once."""
        again = {
            records[at]: known
            for at in (() if resume_at is None else range(resume_at, len(records)))
            if (known := _known(seen, at)) != _NOTHING
        }
        older = self._by_shard.get(shard)
        if not (older or again):
            return
        # A half of a batch says nothing of its other half.
        batches = [{name: batch[name] for name in batch.keys() - set(records)} for batch in older or ()]
        batches = [*batches, again][-_LANES:]
        if any(batches):
            self._by_shard[shard] = batches
        else:
            self._by_shard.pop(shard, None)
