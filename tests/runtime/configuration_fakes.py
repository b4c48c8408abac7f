"""A store, a clock and a thread starter that tests hold in their hands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from resilient_runtime.clock import Clock
from resilient_runtime.configured import Configuration
from resilient_runtime.configured.asking import Answer, Ask, Found
from resilient_runtime.settings import ConfigurationEntry

THROTTLED = "ThrottlingException: Rate exceeded"


class FakeStore:
    """Holds texts by source; counts what it is asked, and refuses when it is told to."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.refuses: str | None = None
        self.asked: list[list[str]] = []

    def asks(self, entries: Sequence[ConfigurationEntry]) -> list[Ask]:
        """One call for everything."""
        return [partial(self._ask, list(entries))]

    def _ask(self, entries: list[ConfigurationEntry]) -> Answer:
        self.asked.append([entry.name for entry in entries])
        if self.refuses is not None:
            return Answer({}, {entry.name: self.refuses for entry in entries})
        found = {
            entry.name: Found(self.texts[entry.source], is_secret=entry.kind == "secret")
            for entry in entries
            if entry.source in self.texts
        }
        return Answer(found, {entry.name: "no such thing" for entry in entries if entry.name not in found})


class Environment:
    """One execution environment: its configuration, its store, its time, and its threads.

    :param frozen: whether a thread in the background is held until ``thaw``
    """

    def __init__(self, store: FakeStore, *entries: ConfigurationEntry, chance: float = 0.0) -> None:
        self.store = store
        self.now = 1_000_000.0
        self.chance = chance
        self.lines: list[dict[str, Any]] = []
        self.frozen = False
        self.threads: list[Callable[[], None]] = []
        self.waited: list[float] = []
        self.configuration = Configuration()
        self.configuration.load(
            entries,
            service="shop",
            function_name="Delivery",
            emit=lambda line: self.lines.append(json.loads(line)),
            clock=Clock(wall=lambda: self.now, ticks=lambda: self.now - 999_000),
            store_of=lambda kind: store,
            random=lambda: self.chance,
            start=self._start,
        )

    def invoke(self, *, after: float = 0.0) -> None:
        """An invocation begins, so many seconds after the one before it."""
        self.now += after
        self.configuration.refresh_in_background()

    def thaw(self) -> None:
        """The threads that were frozen end."""
        threads, self.threads = self.threads, []
        for thread in threads:
            thread()

    @property
    def told(self) -> list[str]:
        """The status of each record."""
        return [line["status"] for line in self.lines]

    def _start(self, run: Callable[[], None]) -> Callable[[float], object]:
        if self.frozen:
            self.threads.append(run)
        else:
            run()
        return self.waited.append


def parameter(name: str, **more: Any) -> ConfigurationEntry:
    """A parameter whose source has its own name."""
    return ConfigurationEntry(name=name, kind="parameter", source=name, **more)


def secret(name: str, **more: Any) -> ConfigurationEntry:
    """A secret whose source has its own name."""
    return ConfigurationEntry(name=name, kind="secret", source=name, **more)
