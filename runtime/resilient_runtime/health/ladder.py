"""The cures, from the mildest to the strongest; each is told and counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from resilient_runtime.settings import HealthSettings

from .environment import Environment, attempts_of
from .judge import Abilities, Rung, after_cleaning, next_rung
from .probe import Reading
from .proc import own_processes
from .records import in_words
from .recycle import Restarts, busy_threads
from .recycling import CALLBACK_SECONDS, WAIT_FOR_NOTHING, WAIT_FOR_TIME, Recycling
from .tmp import Inventory
from .vitals import Vitals

__all__ = ["INTERRUPTION", "Ladder"]

INTERRUPTION = "interruption"
"""Why an environment is recycled whose handler was ended at its deadline."""

_CLEANING_SECONDS = 0.5
"""What must be left of an invocation to clean up in its time."""

_REPLACING_SECONDS = 10.0

_LEAST_LIFE = 16
"""Invocations that a process has served before it ends itself: no environment may end in a circle."""

_MOST_RECEIVES = 1
"""A message that has been received before is not sent back by us: its queue may have few tries left."""


class Ladder:
    """Climbs, one rung after the other, until the environment is well.

    :param settings: how far it may go
    :param environment: whose health it is
    :param vitals: its figures
    :param inventory: what was in /tmp at first; None where /tmp is not the environment's own
    :param interpreter: starts the interpreter again; None where that is not possible
    :param leave: ends the process
    :param collect: collects Python's garbage. Default: as :mod:`.cleanup` does
    :param replace: replaces all environments of the function, and tells whether it did
    :param processes: the processes that this one has started. Default: asks the system
    :param working: the names of the threads that may be at work. Default: asks this process
    :param irreplaceable: what this interpreter has that the next one could not get at present; None for
        nothing
    """

    def __init__(
        self,
        settings: HealthSettings,
        environment: Environment,
        vitals: Vitals,
        *,
        inventory: Inventory | None,
        interpreter: Restarts | None,
        leave: Callable[[int], object],
        collect: Callable[[bool], int] | None,
        replace: Callable[[], str] | None,
        processes: Callable[[], list[int]] = own_processes,
        working: Callable[[], list[str]] = busy_threads,
        irreplaceable: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._vitals = vitals
        self._inventory = inventory
        self._leave = leave
        self._collect = collect
        self._replace = replace
        self._broken_off_at: int | None = None
        self._recover_from = 0
        self.between = False
        self.told = dict(environment.state.told)
        self._recycling = Recycling(
            environment,
            vitals,
            interpreter=interpreter,
            threshold=settings.threshold,
            told=self.told,
            processes=processes,
            working=working,
            irreplaceable=irreplaceable,
        )
        self.leaving: tuple[str, ...] = ()
        self._not_before = 0
        self._known: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def broken_off(self) -> None:
        """The handler was ended in the middle of something."""
        self._broken_off_at = self._recover_from = self._environment.invocations

    @property
    def due(self) -> bool:
        """Whether there is something to cure whatever the figures say."""
        return self._broken_off_at is not None

    def climb(self, attribute: Callable[[tuple[str, ...], Reading], None]) -> None:
        """Cure whatever is sick; then start anew if the handler left something half done.

        :param attribute: tells what leaked, before a cure takes the evidence away
        """
        self._cure(attribute)
        if self._broken_off_at is not None:
            self._recover(self._broken_off_at)

    def _recover(self, broken_off_at: int) -> None:
        """Leave behind what an interruption may have left: a lock that is held, a driver amid its protocol.

        Lambda's own timeout would have ended the process. There is rarely time for it in the invocation that
        was interrupted; so it is tried again after each one that follows.
        """
        environment, vitals = self._environment, self._vitals
        if not self.between or environment.not_recycled is not None:
            self._broken_off_at = None
        elif environment.invocations >= self._recover_from:
            self._recover_from = environment.invocations + self._recycling.attempt(
                (),
                vitals.probe.read_exactly(),
                (),
                called=False,
                reason=INTERRUPTION,
                # That an interrupted invocation has little time left is nothing to tell.
                telling=environment.invocations > broken_off_at,
            )

    def _cure(self, attribute: Callable[[tuple[str, ...], Reading], None]) -> None:
        vitals, environment = self._vitals, self._environment
        if environment.invocations < self._not_before and self._knows(vitals.sick(vitals.last)):
            return
        reading = vitals.probe.read_exactly()
        sick, soon = self._known = vitals.sick(reading)
        self.leaving = ()
        if not sick:
            return
        attribute(sick, reading)
        cleaned = False
        rung, names = self._next(sick, soon)
        if rung == "clean":
            if environment.remaining is not None and environment.left() < _CLEANING_SECONDS:
                self._wait(WAIT_FOR_TIME)
                return
            cleaned = True
            reading = self._clean(names, reading)
            sick, soon = self._known = vitals.sick(reading)
            if not sick:
                return
            rung, names = self._next(sick, soon, cleaned=True)
        if rung == "recycle":
            self._wait(
                self._recycling.attempt(
                    names, reading, soon, called=cleaned, reason=", ".join(names), telling=True
                )
            )
            # Still here: not now, or not at all. Who will not live to the next chance may still leave.
            rung, names = self._next(sick, soon, cleaned=True, recycle=False)
        elif rung == "none":
            self._wait(WAIT_FOR_NOTHING)
        if rung == "exit":
            self.leaving = names
        elif rung == "none" and soon:
            self._give_up(soon, reading)

    def _next(
        self, sick: tuple[str, ...], soon: tuple[str, ...], *, cleaned: bool = False, recycle: bool = True
    ) -> tuple[Rung, tuple[str, ...]]:
        environment, settings = self._environment, self._settings
        can = Abilities(
            recycle=recycle and self.between and environment.not_recycled is None,
            exit=settings.exit and settings.retried and environment.lived >= _LEAST_LIFE,
        )
        return next_rung(
            sick, soon, self._vitals.courses, can, invocation=environment.invocations, cleaned=cleaned
        )

    def _wait(self, invocations: int) -> None:
        self._not_before = self._environment.invocations + invocations

    def _knows(self, now: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
        """Whether nothing has become worse than it was when it was last tried."""
        return all(set(names) <= set(known) for names, known in zip(now, self._known, strict=True))

    def leave_now(self, event: Any) -> None:
        """End the process before an event that its source sends again, when nothing else helped."""
        names = tuple(name for name in self.leaving if name in self._vitals.sick(self._vitals.last)[1])
        self.leaving = names
        if not names or attempts_of(event) > _MOST_RECEIVES:
            return
        self._environment.tell(
            "EXITED",
            counts=("Exited",),
            resources=names,
            health=in_words(self._vitals.last, self._vitals.limits),
            note="this process ended before it took up the event; its source sends that again",
        )
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._leave(1)

    def _clean(self, names: tuple[str, ...], reading: Reading) -> Reading:
        from .cleanup import clean, collect_garbage

        environment, vitals = self._environment, self._vitals
        left = CALLBACK_SECONDS if environment.remaining is None else environment.left() / 3
        done = clean(
            names,
            inventory=self._inventory,
            enough=vitals.enough("tmp", reading),
            seconds=min(CALLBACK_SECONDS, left),
            collect=self._collect or collect_garbage,
            told=environment.note,
        )
        after = vitals.probe.read_exactly()
        for name in names:
            fresh, before, now = (getattr(one, name) for one in (vitals.fresh, reading, after))
            if fresh is not None and before is not None and now is not None:
                vitals.courses[name] = after_cleaning(
                    vitals.courses[name],
                    fresh=fresh,
                    before=before,
                    after=now,
                    invocation=environment.invocations,
                )
        vitals.last = after
        environment.tell(
            "CLEANED",
            counts=("Cleaned",),
            resources=names,
            before=in_words(reading, vitals.limits),
            after=in_words(after, vitals.limits),
            unreachable_objects=done.unreachable,
            files_removed=done.removed.files,
            bytes_removed=done.removed.size,
        )
        return after

    def _give_up(self, soon: tuple[str, ...], reading: Reading) -> None:
        environment = self._environment
        if self._replace is not None and environment.left() > _REPLACING_SECONDS:
            outcome = self._replace()
            environment.tell(
                "REPLACED",
                counts=("Replaced",) if outcome == "replaced" else (),
                resources=soon,
                outcome=outcome,
            )
            self._replace = None
            return
        environment.tell_once(
            f"incurable {soon}",
            f"{', '.join(soon)}: nothing that is allowed here cures this environment, and it will soon fail; "
            f"not recycled because {environment.not_recycled or 'it did not help'}",
            health=in_words(reading, self._vitals.limits),
            resources=soon,
        )
