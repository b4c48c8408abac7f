"""The values of one execution environment: loaded, kept, renewed in the background, kept on when that fails.

A value once loaded is never lost: whatever a store answers later, the last good value stays. Every answer
carries the moment at which it was asked for, and an older one never replaces a newer; so a refresh that
Lambda froze half-way for an hour counts as an hour old when it ends, and is asked for again at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from resilient_runtime.clock import Clock
from resilient_runtime.settings import ConfigurationEntry

from . import freshness
from .asking import Answer, Found, Start, Store, ask_all
from .forms import Unreadable, read, secrets_in
from .freshness import Life, Moment
from .records import ConfigurationRecords

__all__ = ["Values"]


@dataclass(frozen=True, slots=True)
class _Held:
    value: Any = field(repr=False)
    found: Found
    asked: Moment
    refresh_after: float


# repr=False: not even a debugger's list of variables shows a value.
@dataclass(frozen=True, slots=True, repr=False)
class _Hidden:
    now: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Refresh:
    """One refresh in the background; it is over when its thread says so, however long Lambda froze it."""

    over: bool = False
    wait: Callable[[float], object] | None = None


class Values:
    """Keeps the values of one environment.

    :param entries: what there is to load
    :param store_of: makes the store of each kind when it is first needed
    :param clock: the time
    :param random: 0 to 1, for jitter
    :param start: runs a function in a thread
    :param records: tells of outages
    :param changed: is called after values changed
    """

    def __init__(
        self,
        entries: Iterable[ConfigurationEntry],
        *,
        store_of: Callable[[str], Store],
        clock: Clock,
        random: Callable[[], float],
        start: Start,
        records: ConfigurationRecords,
        changed: Callable[[], None],
    ) -> None:
        self.entries = {one.name: one for one in entries}
        self.faults: dict[str, str] = {}
        self._store_of = store_of
        self._stores: dict[str, Store] = {}
        self._clock = clock
        self._random = random
        self._start = start
        self._records = records
        self._changed = changed
        self._held: Mapping[str, _Held] = {}
        self._hidden: Mapping[str, _Hidden] = {}
        self._taking = threading.Lock()  # for microseconds, never while a store is asked
        self._loading = threading.Lock()  # one load in the foreground at a time
        self._beginning = threading.Lock()  # one refresh in the background at a time
        self._refresh: _Refresh | None = None
        self._failures = 0
        self._outage: Moment | None = None
        self._looked = self._now()
        self._rest_ends = self._pause_ends = self._looked

    def current(self) -> dict[str, Any]:
        """Each value that is there, by name."""
        return {name: held.value for name, held in self._held.items()}

    def ages(self) -> dict[str, float]:
        """How many seconds ago each value that is there was asked for."""
        return {life.name: life.age for life in self._lives(self._now())}

    def secrets(self) -> frozenset[str]:
        """What must not appear in a record: of every secret, this value and the one before it."""
        return frozenset().union(
            *(one for hidden in self._hidden.values() for one in (hidden.now, hidden.before))
        )

    def pause_left(self) -> float:
        """Seconds for which the stores are left alone after a failure; 0 when they may be asked."""
        return max(0.0, freshness.seconds_until(self._pause_ends, self._now()))

    def load(self) -> None:
        """Ask for what has no value yet, and return when there is an answer. Nobody asks during a pause."""
        with self._loading:
            missing = [name for name in self.entries if name not in self._held]
            if missing and not self.pause_left():
                self._renew(missing, together=True)

    def reload(self, names: Sequence[str]) -> bool:
        """Ask for these now, and return when there is an answer; each at most once a second.

        :returns: whether any of them has another value now
        """
        with self._loading:
            before = {name: held.found for name, held in self._held.items()}
            ages = self.ages()
            wanted = [name for name in names if ages.get(name, 1.0) >= 1.0]
            if wanted and not self.pause_left():
                self._renew(wanted, together=True)
        return any(name in self._held and self._held[name].found != before.get(name) for name in names)

    def look(self) -> None:
        """At the start of an invocation: begin to renew what will soon be old, in the background.

        It waits for nothing, but in the one case that ``freshness.patience`` names.
        """
        now = self._now()
        looked, self._looked = self._looked, now
        if self._refresh is None:
            # Compared by hand: every invocation passes here, and nearly all of them no further.
            rest = self._rest_ends
            if now.ticks < rest.ticks and now.wall < rest.wall:
                return
            self._begin(now)
        refresh = self._refresh
        if refresh is not None and refresh.wait is not None:
            expired = any(life.age >= life.expires_after for life in self._lives(now))
            seconds = freshness.patience(
                expired=expired, since_last_look=freshness.seconds_since(looked, now)
            )
            if seconds:
                refresh.wait(seconds)
        if refresh is not None and refresh.over:
            self._refresh = None

    def _begin(self, now: Moment) -> None:
        if not self._beginning.acquire(blocking=False):
            return
        try:
            lives = self._lives(now)
            names = freshness.due(lives) + [name for name in self.entries if name not in self._held]
            if not names:
                soonest = min((life.refresh_after - life.age for life in lives), default=0.0)
                self._rest_ends = freshness.later(now, soonest)
                return
            refresh = self._refresh = _Refresh()

            def renew() -> None:
                try:
                    self._renew(names, together=False)
                finally:
                    refresh.over = True

            try:
                refresh.wait = self._start(renew)
            except Exception as error:  # noqa: BLE001  no thread is left: told, and tried again after a pause
                self._refresh = None
                self._take(now, Answer({}, dict.fromkeys(names, f"no thread could be started: {error}")))
        finally:
            self._beginning.release()

    def _renew(self, names: Sequence[str], *, together: bool) -> None:
        asked = self._now()
        entries = [self.entries[name] for name in names]
        try:
            asks = [
                ask
                for kind in sorted({one.kind for one in entries})
                for ask in self._store(kind).asks([one for one in entries if one.kind == kind])
            ]
            # In the init phase somebody waits: all calls at once. In the background nobody does.
            answer = ask_all(names, asks, start=self._start if together else None)
        except Exception as error:  # noqa: BLE001  no client could be made: what is there stays
            answer = Answer({}, dict.fromkeys(names, f"{type(error).__name__}: {error}"))
        self._take(asked, answer)

    def _store(self, kind: str) -> Store:
        store = self._stores.get(kind)
        if store is None:
            store = self._stores[kind] = self._store_of(kind)
        return store

    def _take(self, asked: Moment, answer: Answer) -> None:
        """Keep what was found; note what was not, and tell it where that is news."""
        faults = dict(answer.faults)
        with self._taking:
            for name, found in answer.found.items():
                try:
                    self._keep(self.entries[name], found, asked)
                    self.faults.pop(name, None)
                except Unreadable as unreadable:
                    faults[name] = str(unreadable)
            self.faults |= faults
            self._failures = self._failures + 1 if faults else 0
            pause = freshness.pause_after(self._failures, self._random()) if faults else 0.0
            now = self._now()
            self._pause_ends = self._rest_ends = freshness.later(now, pause)
        self._changed()
        with suppress(Exception):  # it goes untold
            self._tell(faults, now)

    def _keep(self, entry: ConfigurationEntry, found: Found, asked: Moment) -> None:
        name, before = entry.name, self._held.get(entry.name)
        if before is not None and before.asked.ticks > asked.ticks:
            return
        if before is not None and before.found == found:
            value = before.value
        else:
            value = _read(entry, found)
            if found.is_secret:
                hidden = _Hidden(secrets_in(found.text), self._hidden.get(name, _Hidden()).now)
                self._hidden = {**self._hidden, name: hidden}
        after = freshness.refresh_after(entry.expires_after, self._random())
        # New mappings, not changed ones: whoever iterates over the old one must not be disturbed.
        held = _Held(value=value, found=found, asked=asked, refresh_after=after)
        self._held = {**self._held, name: held}

    def _tell(self, faults: Mapping[str, str], now: Moment) -> None:
        """One record when an outage begins, and one when it is over; not one for each attempt."""
        ages = self.ages()
        if faults and self._outage is None:
            self._outage = now
            missing = {name: fault for name, fault in faults.items() if name not in ages}
            stale = {name: fault for name, fault in faults.items() if name in ages}
            if missing:
                self._records.unconfigured(missing)
            if stale:
                self._records.stale(stale, {name: ages[name] for name in stale})
        elif not self.faults and self._outage is not None:
            outage = freshness.seconds_since(self._outage, now)
            self._outage = None
            self._records.fresh(ages, outage)

    def _lives(self, now: Moment) -> list[Life]:
        return [
            Life(
                name=name,
                age=freshness.seconds_since(held.asked, now),
                refresh_after=held.refresh_after,
                expires_after=self.entries[name].expires_after,
            )
            for name, held in self._held.items()
        ]

    def _now(self) -> Moment:
        return Moment(self._clock.wall(), self._clock.ticks())


def _read(entry: ConfigurationEntry, found: Found) -> Any:
    try:
        return read(found.text, entry.form)
    except Unreadable as unreadable:
        why = str(unreadable)
    raise Unreadable(
        f"{entry.kind} {entry.source!r} {why}. Correct its value, or the form of {entry.name!r} where the "
        "function's configuration is declared"
    )
