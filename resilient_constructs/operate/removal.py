"""Records that are done with, taken out of the store; with the last of a key the key goes on.

Killed at any moment, or refused by AWS at any call, it leaves something that the same command finds again:
the last record of a parked key stays in the store until the key is free, and the key waits for a record that
is there. What is repeated then is that one record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .errors import OperateError
from .parked import Parked, ParkedTables
from .poison import PoisonStore
from .poison_entries import Entry

__all__ = ["Removal"]


class Removal:
    """Takes records out of a store.

    :param entries: all that there is
    :param keys: which of their keys wait
    :param tell: is told of each key that goes on
    """

    def __init__(
        self,
        store: PoisonStore,
        entries: Iterable[Entry],
        keys: ParkedTables,
        tell: Callable[[str], None],
    ) -> None:
        self._store = store
        self._keys = keys
        self._tell = tell
        self.waiting: list[Parked] = []
        """Keys of which all that was here is out, and that wait for what was not here."""
        self._left: dict[tuple[str, str], dict[int, Entry]] = {}
        for entry in entries:
            self._left.setdefault(entry.whose, {})[id(entry)] = entry

    def left(self) -> list[Entry]:
        """What is in the store still."""
        return [entry for of_key in self._left.values() for entry in of_key.values()]

    def is_left(self, entry: Entry) -> bool:
        """Whether it is in the store still."""
        return id(entry) in self._left[entry.whose]

    def remove(self, done: Sequence[Entry]) -> str:
        """Take out records of one key; what kept the last one of them in the store, or nothing.

        :raises OperateError: when AWS refuses. What is not out by then stays
        """
        taken = {id(entry) for entry in done}
        behind = [entry for at, entry in self._left[done[0].whose].items() if at not in taken]
        parked = self._keys.of([*done, *behind])
        if parked is None:
            for entry in done:
                self._out(entry)
            return ""
        return self._out_of(parked, done, behind)

    def _out_of(self, parked: Parked, done: Sequence[Entry], behind: Sequence[Entry]) -> str:
        next_one = behind[0] if behind else done[-1]
        known = any(parked.waits_for(entry) for entry in (*done, *behind))
        if any(parked.waits_for(entry) and entry is not next_one for entry in done):
            # First: a key that waits for what is in no store any more could not be freed by the next run.
            self._keys.wait_for(parked, next_one)
        for entry in done:
            if entry is not next_one:
                self._out(entry)
        if behind:
            return ""
        if not known:
            # Nobody here has done the one before these: it may be on its way, or in other hands.
            self._out(next_one)
            self.waiting.append(parked)
            return ""
        try:
            self._free(parked, next_one)
        except OperateError as error:
            return (
                f"its key stays parked: {error}. Run the same command again; this record is then done twice"
            )
        self._out(next_one)
        return ""

    def _free(self, parked: Parked, last: Entry) -> None:
        if self._keys.free(parked, up_to=str(last.told["sequence_number"])):
            self._tell(f"key {parked.key!r} goes on: its next records are handled again")
            return
        now = self._keys.wait_for_last(parked, str(last.told["shard"]))
        if now is not None:
            self.waiting.append(now)

    def _out(self, entry: Entry) -> None:
        self._store.remove(entry)
        del self._left[entry.whose][id(entry)]
