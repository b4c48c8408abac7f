"""What a store is asked and answers, and several calls at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from resilient_runtime.settings import ConfigurationEntry

from .freshness import LONGEST_REFRESH

__all__ = ["Answer", "Ask", "Found", "Start", "Store", "Wanted", "ask_all", "calls_for"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a store holds for one entry.

    :param text: the value
    :param is_secret: whether it is encrypted there, and so must not appear anywhere
    """

    text: str = field(repr=False)
    is_secret: bool = False


class Answer(NamedTuple):
    """What one or more calls brought, by the entries' names.

    :param found: the values
    :param faults: for every other entry, what AWS said and what to do
    """

    found: Mapping[str, Found]
    faults: Mapping[str, str]


Ask = Callable[[], Answer]
Start = Callable[[Callable[[], None]], Callable[[float], object]]
"""Runs a function in a thread of its own; what it returns waits for its end, so many seconds at most."""


Wanted = Mapping[str, Sequence[ConfigurationEntry]]
"""What one call asks for: the entries by their source, as several entries may read the same one."""


class Store(Protocol):
    """Where values come from."""

    def asks(self, entries: Sequence[ConfigurationEntry]) -> list[Ask]:
        """The calls that bring these entries, as few as the store's API allows; none is made yet."""
        ...


def calls_for(entries: Sequence[ConfigurationEntry], *, per_call: int) -> list[Wanted]:
    """What each call asks for: as few calls as ``per_call`` sources allow, and each source once."""
    wanted: dict[str, list[ConfigurationEntry]] = {}
    for entry in entries:
        wanted.setdefault(entry.source, []).append(entry)
    sources = list(wanted)
    return [
        {source: wanted[source] for source in sources[first : first + per_call]}
        for first in range(0, len(sources), per_call)
    ]


def ask_all(names: Sequence[str], asks: Sequence[Ask], *, start: Start | None) -> Answer:
    """Make all calls and put their answers together.

    :param names: the entries that are asked for; each is found or has a fault afterwards
    :param start: makes all but the first call in threads of their own. Default: one call after the other
    """
    answers: list[Answer] = []
    broken: list[str] = []

    def make(ask: Ask) -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001  one call that breaks must not cost the others' values
            broken.append(f"{type(error).__name__}: {error}")

    waits = []
    alone = list(asks)
    while start is not None and len(alone) > 1:
        ask = alone.pop()
        try:
            waits.append(start(lambda ask=ask: make(ask)))  # type: ignore[misc]
        except RuntimeError:  # no thread is left; it takes longer without
            alone.append(ask)
            break
    for ask in alone:
        make(ask)
    for wait in waits:
        wait(LONGEST_REFRESH)
    found: dict[str, Found] = {}
    faults: dict[str, str] = {}
    for answer in answers:
        found |= answer.found
        faults |= answer.faults
    silent = "; ".join(broken) or "the store did not answer in time"
    return Answer(found, {name: faults.get(name, silent) for name in names if name not in found})
