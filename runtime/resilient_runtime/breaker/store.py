"""Where circuits are shared: what a store promises, and one in memory that keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import NamedTuple, Protocol

from .circuit import Circuit
from .window import NOTHING, Bucket, added

__all__ = ["CircuitStore", "MemoryCircuits", "Record", "Written"]


class Record(NamedTuple):
    """A circuit, and what was counted lately by number of bucket."""

    circuit: Circuit = Circuit()
    counts: Mapping[int, Bucket] = {}


class Written(NamedTuple):
    """Whether a conditional write took place, and what is stored now."""

    done: bool
    record: Record


class CircuitStore(Protocol):
    """What the breaker needs of a store. Any exception means: it cannot be reached now."""

    def read(self, name: str) -> Record:
        """What is stored, possibly as it was a moment ago."""
        ...

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        """Add to buckets at once and remove those that are over; what is stored now."""
        ...

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """Replace ``before`` by ``circuit`` only where ``before``'s version is still stored."""
        ...


class MemoryCircuits:
    """Circuits in this process's memory: for tests, simulations, and programs that share nothing."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._lock = Lock()

    def read(self, name: str) -> Record:
        """What is stored."""
        return self._records.get(name, Record())

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        """Add to buckets."""
        with self._lock:
            record = self._records.get(name, Record())
            counts = _without(record.counts, (index for index in over if index not in entries))
            for index, entry in entries.items():
                if entry != NOTHING:
                    entry = entry._replace(since=round(entry.since, 3))
                    counts[index] = added(counts.get(index, NOTHING), entry)
            return self._keep(name, record.circuit, counts)

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """Replace the circuit."""
        with self._lock:
            record = self._records.get(name, Record())
            if record.circuit.version != before.version:
                return Written(False, record)
            return Written(True, self._keep(name, circuit, _without(record.counts, over)))

    def _keep(self, name: str, circuit: Circuit, counts: Mapping[int, Bucket]) -> Record:
        record = self._records[name] = Record(circuit, counts)
        return record


def _without(counts: Mapping[int, Bucket], over: Iterable[int]) -> dict[int, Bucket]:
    gone = frozenset(over)
    return {index: bucket for index, bucket in counts.items() if index not in gone}
