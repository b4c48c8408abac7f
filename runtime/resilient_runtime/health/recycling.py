"""The third rung of the ladder: starting the interpreter again, where nothing is lost by it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .callbacks import run_callbacks
from .environment import Environment
from .judge import before_recycling
from .probe import Reading
from .recycle import Restarts, seconds_needed, unknown_children
from .state import State
from .vitals import Vitals

__all__ = ["CALLBACK_SECONDS", "WAIT_FOR_NOTHING", "WAIT_FOR_TIME", "WAIT_FOR_WORK", "Recycling"]

CALLBACK_SECONDS = 1.0
"""What the user's own functions for cleaning up may take together."""

WAIT_FOR_TIME = 2
WAIT_FOR_WORK = 32
WAIT_FOR_NOTHING = 64
"""Invocations until it is tried again, after a cure lacked time, met work in progress, or was not to be had.
Each try closes the handler's pools, so it must not be made in every invocation."""


class Recycling:
    """Starts the interpreter of one environment again.

    :param interpreter: starts it; None where that is not possible
    :param threshold: the share of the headroom from which a resource is cured
    :param told: when a leak of which resource was last told; the next interpreter keeps it
    :param processes: the processes that this one has started
    :param working: the names of the threads that may be at work
    :param irreplaceable: what this interpreter has that the next one could not get at present; None for
        nothing
    """

    def __init__(
        self,
        environment: Environment,
        vitals: Vitals,
        *,
        interpreter: Restarts | None,
        threshold: float,
        told: Mapping[str, float],
        processes: Callable[[], list[int]],
        working: Callable[[], list[str]],
        irreplaceable: Callable[[], str | None],
    ) -> None:
        self._environment = environment
        self._vitals = vitals
        self._interpreter = interpreter
        self._threshold = threshold
        self._told = told
        self._processes = processes
        self._working = working
        self._irreplaceable = irreplaceable

    def attempt(
        self,
        names: tuple[str, ...],
        reading: Reading,
        soon: tuple[str, ...],
        *,
        called: bool,
        reason: str,
        telling: bool,
    ) -> int:
        """Start the interpreter again.

        :param called: whether the user's functions have just been called
        :param telling: whether to tell that there was no time
        :returns: if that was not possible, the invocations until it may be tried again
        """
        environment, vitals, interpreter = self._environment, self._vitals, self._interpreter
        if interpreter is None:
            return WAIT_FOR_NOTHING
        memory = vitals.limits.memory
        needed = seconds_needed(
            environment.start,
            environment.start_processor,
            memory_mb=None if memory is None else memory // (1024 * 1024),
            measured=environment.state.recycles > 0,
            dying=bool(soon),
        )
        if environment.left() < needed:
            if telling:
                environment.tell_once(
                    f"time to recycle {bool(soon)}",
                    f"not recycled for {reason}: that may take {needed:.1f} s, and {environment.left():.1f} "
                    "s were left of the invocation; a longer timeout or more memory makes room for it",
                )
            return WAIT_FOR_TIME if telling else 1
        if self._would_lose(reason, soon):
            return WAIT_FOR_WORK
        if not called:
            run_callbacks(CALLBACK_SECONDS, environment.note)
        if not self._may_stop_everything(reason, soon) or environment.left() < needed:
            return WAIT_FOR_WORK
        courses = {
            name: before_recycling(course, lived=environment.lived, threshold=self._threshold)
            if name in names
            else course._replace(cleaned_at=None)
            for name, course in vitals.courses.items()
        }
        now = environment.clock.wall()
        state = State(
            born=environment.born,
            invocations=environment.invocations,
            recycles=environment.state.recycles + 1,
            reason=reason,
            at=now,
            until=now + environment.left(),
            start=environment.start,
            request_id=environment.request_id,
            before=reading,
            fresh=vitals.fresh or Reading(),
            courses=courses,
            told=self._told,
            children=tuple(self._processes()),
        )
        vitals.probe.close()
        try:
            interpreter.start_again(state.to_text(pid=os.getpid()))
        except OSError as error:
            environment.not_recycled = f"the system refused: {error}"
            environment.broken("recycling", error)
        finally:
            vitals.probe.open()
        return WAIT_FOR_NOTHING

    def _would_lose(self, reason: str, soon: tuple[str, ...]) -> bool:
        environment = self._environment
        what = None if soon else self._irreplaceable()
        if what is not None:
            environment.tell_once("irreplaceable", f"not recycled for {reason} now: {what}")
        return what is not None

    def _may_stop_everything(self, reason: str, soon: tuple[str, ...]) -> bool:
        environment = self._environment
        if children := unknown_children(self._processes()):
            environment.tell_once(
                "children",
                f"not recycled for {reason}: {len(children)} processes that the handler started are running; "
                "end them in a function registered with on_recycle",
            )
            return False
        threads = self._working()
        # Lambda promises no thread that it runs on after the answer; one that would die with the environment
        # a few invocations later is no reason to fail those.
        if threads and not soon:
            environment.tell_once(
                "threads",
                f"not recycled for {reason}: these threads may be at work: {', '.join(sorted(threads)[:5])}; "
                "make them daemon threads, or end them in a function registered with on_recycle",
            )
            return False
        return True
