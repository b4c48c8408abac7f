"""Lambda's pollers between one shard of a stream and a function: checkpoints, halving, retries, record age.

What AWS documents:

- An invocation that fails, or says that its first record failed, is retried until the retry quota is used
  up or the records are too old; then they are discarded, and an on-failure destination is told where they
  were.
- With bisecting, a batch that failed is halved first, and **halving does not use up retries**.
- Of a batch that failed in part (``ReportBatchItemFailures``), the lowest sequence number that is returned is
  where it goes on; what lies before it is passed.
- Invocations that could not be made (throttling) count against the age alone.

What it does not document is a parameter: whether a batch that returns its *first* record is halved.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Failed", "Piece", "StreamMapping", "Throttled"]


_T = TypeVar("_T", bound=Hashable)


class Failed(Exception):  # noqa: N818  it says what happened, as in this room's other files
    """The invocation ended without an answer: an exception, a timeout, a process that died."""


class Throttled(Exception):  # noqa: N818
    """The invocation could not be made."""


@dataclass(slots=True)
class Piece(Generic[_T]):
    """Some records of a batch, and how often they were retried as they are."""

    records: list[_T]
    retries: int = 0


@dataclass(slots=True)
class StreamMapping(Generic[_T]):
    """Feeds a function from one shard; one invocation at a time.

    Records are named by whatever names them, in the shard's order.

    :param invoke: called with some records; gives back the first one that is not done, or None.
        Raises ``Failed`` or ``Throttled``
    :param discard: told of records that are given up, why, and after how many invocations: what an on-failure
        destination hears of
    :param batch_size: records to an invocation, at most
    :param max_retries: of the same records; below zero, until they are too old
    :param is_too_old: whether a record has reached its maximum age
    :param bisects: whether what failed is halved
    :param halves_unbegun: whether what returns its first record is halved too, as if it had failed
    :ivar invocations: how many were made
    """

    invoke: Callable[[Sequence[_T]], _T | None]
    discard: Callable[[Sequence[_T], str, int], None]
    batch_size: int = 100
    max_retries: int = 1
    is_too_old: Callable[[_T], bool] = lambda _: False
    bisects: bool = True
    halves_unbegun: bool = True
    invocations: int = 0
    _pieces: list[Piece[_T]] = field(default_factory=list)
    """What is left of the current batch, the next one last."""

    def feed(self, records: Sequence[_T]) -> None:
        """Go on until all these records are passed."""
        for start in range(0, len(records), self.batch_size):
            self.take(records[start : start + self.batch_size])
            while self.is_busy:
                self.poll()

    @property
    def is_busy(self) -> bool:
        """Whether anything is left of the batch that was taken."""
        return bool(self._pieces)

    def take(self, batch: Sequence[_T]) -> None:
        """Take the next batch; what is left of the one before comes first."""
        self._pieces.insert(0, Piece(list(batch)))

    def poll(self) -> None:
        """One invocation with what is next, or none when all of that is too old."""
        piece = self._pieces.pop()
        old = [one for one in piece.records if self.is_too_old(one)]
        if old:
            self.discard(old, "RecordAgeExceeded", piece.retries)
            piece = Piece([one for one in piece.records if one not in set(old)], piece.retries)
        if not piece.records:
            return
        self.invocations += 1
        try:
            resume_at = self.invoke(tuple(piece.records))
        except Throttled:
            self._pieces.append(piece)
        except Failed:
            self._again(piece, halve=self.bisects)
        else:
            if resume_at is None:
                return
            passed = piece.records.index(resume_at)
            if passed:
                self._pieces.append(Piece(piece.records[passed:]))
            else:
                self._again(piece, halve=self.bisects and self.halves_unbegun)

    def _again(self, piece: Piece[_T], *, halve: bool) -> None:
        if halve and len(piece.records) > 1:
            middle = len(piece.records) // 2
            self._pieces.append(Piece(piece.records[middle:]))
            self._pieces.append(Piece(piece.records[:middle]))
        elif self.max_retries < 0 or piece.retries < self.max_retries:
            self._pieces.append(Piece(piece.records, piece.retries + 1))
        else:
            self.discard(piece.records, "RetryAttemptsExhausted", piece.retries + 1)
