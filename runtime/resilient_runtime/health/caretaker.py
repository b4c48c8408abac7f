"""Looks after one execution environment: before, after and between its invocations.

What is done in every invocation takes a few microseconds: one reading, compared with a few numbers. All else
happens rarely, and where AWS's interface client lets us, after the answer was sent.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from resilient_runtime.clock import SYSTEM_CLOCK, Clock
from resilient_runtime.reserve import Reserve
from resilient_runtime.settings import HealthSettings

from .attribution import Suspects
from .callbacks import registered, run_callbacks
from .environment import Environment
from .judge import Course, after_recycling
from .ladder import INTERRUPTION, Ladder
from .news import News
from .probe import RESOURCES, Probe, Reading, limits_of
from .proc import own_processes, process_stat
from .records import HealthLines, in_words, percent
from .recycle import Interpreter, Restarts, between_invocations, busy_threads, not_here
from .shutdown import call_on_termination
from .state import STATE_VARIABLE, State, from_text
from .tmp import Inventory, is_own
from .vitals import Vitals

__all__ = ["Caretaker"]

_TELL_LEAK_EVERY = 600.0
_ATTRIBUTION_SECONDS = 1.0


def seconds_since_start() -> tuple[float, float]:
    """Seconds since this process began, and those of them that the processor worked."""
    # Field 22 of the line, of which the first two are cut off: clock ticks since the machine's start.
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    stat = process_stat("self")
    if len(stat) < 20 or not hasattr(time, "CLOCK_BOOTTIME"):
        return time.process_time(), time.process_time()
    began = int(stat[19]) / os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0), time.process_time()


class Caretaker:
    """Keeps one environment well.

    :param settings: when it is cured, and how far that may go
    :param env: the process's environment variables
    :param clock: the time. Default: the machine's
    :param emit: takes each line
    :param probe: reads the figures. Default: this process's
    :param interpreter: starts the interpreter again, when somebody calls ``between``. Default: this process's
        own, with AWS's interface client calling ``between``, where both are as they should be
    :param started: how many seconds ago this process began, and how many of them the processor worked
    :param leave: ends the process. Default: at once, without Python's own clean-up
    :param collect: collects Python's garbage, and gives memory back to the system if it is told to
    :param suspects: knows what leaked. Default: looks at this process
    :param processes: the processes that this one has started. Default: asks the system
    :param working: the names of the threads that may be at work. Default: asks this process
    :param irreplaceable: what this interpreter has that a fresh one could not get now; None for nothing
    :param reserve: descriptors for the cures. Default: none
    """

    def __init__(
        self,
        settings: HealthSettings,
        *,
        env: Mapping[str, str],
        clock: Clock = SYSTEM_CLOCK,
        emit: Callable[[str], None],
        probe: Probe | None = None,
        interpreter: Restarts | None = None,
        started: Callable[[], tuple[float, float]] = seconds_since_start,
        leave: Callable[[int], object] = os._exit,
        collect: Callable[[bool], int] | None = None,
        suspects: Suspects | None = None,
        processes: Callable[[], list[int]] = own_processes,
        working: Callable[[], list[str]] = busy_threads,
        irreplaceable: Callable[[], str | None] = lambda: None,
        reserve: Reserve | None = None,
    ) -> None:
        service = env.get("RESILIENT_SERVICE", "service")
        function_name = env.get("AWS_LAMBDA_FUNCTION_NAME") or service
        state = from_text(env.get(STATE_VARIABLE), born=clock.wall())
        not_recycled = not_here(env) if settings.reexec else "the function's settings forbid it"
        if not_recycled is None and interpreter is None:
            interpreter = own = Interpreter()
            if not own.known:
                not_recycled = "this system does not tell how the interpreter was started"
            elif not between_invocations(self.between):
                not_recycled = "the interface client is not the one that AWS's runtimes have"
        self._clock = clock
        self._seconds_since_start = started
        self._reserve = reserve or Reserve(0)
        self._on_lambda = bool(env.get("AWS_LAMBDA_RUNTIME_API"))
        self._restored = env.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
        self._probe = probe or Probe(limits_of(env))
        self._environment = Environment(
            state,
            not_recycled=not_recycled,
            lines=HealthLines(service=service, function_name=function_name, clock=clock),
            emit=emit,
            clock=clock,
        )
        courses = {name: state.courses.get(name, Course(share=settings.threshold)) for name in RESOURCES}
        self._vitals = Vitals(self._probe, courses)
        self._inventory = None
        if self._probe.limits.tmp is not None and is_own(env):
            self._inventory = Inventory(self._probe.tmp)
            self._inventory.recall()
        self._ladder = Ladder(
            settings,
            self._environment,
            self._vitals,
            inventory=self._inventory,
            interpreter=interpreter,
            leave=leave,
            collect=collect,
            replace=_replacing(env) if settings.update_function else None,
            processes=processes,
            working=working,
            irreplaceable=irreplaceable,
        )
        if settings.allocations:
            import tracemalloc

            tracemalloc.start()
        self._asked_before = False
        self._suspects = suspects or Suspects(self._inventory)
        self._fresh_due = False
        self._cure_due = False
        self._memory_due = False
        self._note_memory_at = sys.maxsize
        self._news = News(self._environment, self._probe.limits)

    def begin(self, event: Any, context: Any) -> None:
        """An invocation begins; when nothing else helped and its source repeats it, the process ends here."""
        environment = self._environment
        environment.invocations += 1
        environment.lived += 1
        environment.context = context
        if self._ladder.leaving:
            self._ladder.leave_now(event)

    def broken_off(self) -> None:
        """The handler was ended amid something: a fresh interpreter follows when there is time."""
        self._ladder.broken_off()
        self._cure_due = True

    def end(self, remaining_ms: Callable[[], int] | None) -> None:
        """An invocation is over, whatever became of it: look, tell, and decide."""
        self._environment.remaining = remaining_ms
        reading = self._probe.read()
        if self._vitals.fresh is None:
            self._take_as_fresh(reading)
        elif self._vitals.observe(reading):
            self._cure_due = True
        if reading.memory is not None and reading.memory >= self._note_memory_at:
            self._memory_due = True
            self._note_memory_at = sys.maxsize
        self._news.heard(reading)
        if not self._ladder.between:
            # Nobody calls between invocations here: what is due is done in this one's time.
            self._do_what_is_due()

    def between(self) -> None:
        """The answer was sent, and the next event has not been asked for."""
        environment = self._environment
        try:
            if not self._asked_before:
                self._asked_before = True
                self._started()
                return
            self._do_what_is_due()
        except Exception as error:  # noqa: BLE001  the next event must be asked for, whatever happens here
            environment.broken("health", error)

    def facts(self) -> dict[str, Any]:
        """What a record of a failure says about this environment, read at this moment."""
        return {**self._environment.facts(), "health": in_words(self._probe.read(), self._probe.limits)}

    def answer(self) -> dict[str, Any]:
        """What a health check is told: that the function starts, and how its environment is."""
        reading = self._probe.read_exactly()
        sick, _ = self._vitals.sick(reading)
        return {
            "resilient_health_check": True,
            "status": "degraded" if sick else "healthy",
            "degraded": list(sick),
            **self._environment.facts(),
            "percent": percent(reading, self._probe.limits),
            "health": in_words(reading, self._probe.limits),
        }

    def _do_what_is_due(self) -> None:
        if self._fresh_due:
            self._fresh_due = False
            self._note_what_is_there()
        if self._memory_due:
            self._memory_due = False
            self._suspects.note_memory()
        if self._cure_due:
            self._cure_due = False
            self._reserve.release()
            self._ladder.climb(self._attribute)
            self._cure_due = self._ladder.due
        self._reserve.renew()

    def _started(self) -> None:
        """The interface client asks for its first event: the start is over."""
        environment = self._environment
        self._ladder.between = True
        state = environment.state
        environment.start, environment.start_processor = self._seconds_since_start()
        if not state.at:
            return
        environment.start = self._clock.wall() - state.at
        reading = self._probe.read_exactly()
        environment.tell(
            "RECYCLED",
            request_id=state.request_id,
            counts=("Recycled",),
            cause=INTERRUPTION if state.reason == INTERRUPTION else "resources",
            resources=_resources_of(state),
            took_ms=round(environment.start * 1000),
            before=in_words(state.before, self._probe.limits),
            after=in_words(reading, self._probe.limits),
        )
        for child in state.children:
            try:
                os.waitpid(child, os.WNOHANG)
            except OSError:
                continue

    def _take_as_fresh(self, reading: Reading) -> None:
        vitals, inventory = self._vitals, self._inventory
        state = self._environment.state
        if inventory is not None and inventory.fresh is not None:
            # A new process does not empty /tmp: what is fresh there, the first one of this environment saw.
            reading = reading._replace(tmp=inventory.fresh)
        if self._restored:
            # This interpreter was started when the version was published; its environment is younger.
            self._environment.born = self._clock.wall()
        vitals.settle(reading)
        for name in _resources_of(state):
            fresh, before, after = (getattr(one, name) for one in (state.fresh, state.before, reading))
            if fresh is not None and before is not None and after is not None:
                vitals.courses[name] = after_recycling(
                    vitals.courses[name], fresh=fresh, before=before, after=after
                )
        vitals.judge_anew()
        self._fresh_due = True
        told = self._ladder.told.get("memory", 0)
        if reading.memory is not None and self._clock.wall() - told >= _TELL_LEAK_EVERY:
            # Early enough for the growth to come, late enough not to count what a first invocation loads.
            self._note_memory_at = reading.memory + vitals.until_cure("memory", reading) // 4

    def _note_what_is_there(self) -> None:
        self._suspects.note()
        if registered() and self._on_lambda:
            call_on_termination(lambda seconds: run_callbacks(seconds, self._environment.note))
        if self._inventory is not None and not self._inventory.known:
            self._inventory.take((self._vitals.fresh or Reading()).tmp or 0)

    def _attribute(self, sick: tuple[str, ...], reading: Reading) -> None:
        """Say what leaked, at most every ten minutes for one resource."""
        environment, fresh = self._environment, self._vitals.fresh
        now = self._clock.wall()
        told = self._ladder.told
        due = [name for name in sick if now - told.get(name, 0) >= _TELL_LEAK_EVERY]
        if not due or fresh is None or 0 < environment.left() < _ATTRIBUTION_SECONDS:
            return
        told.update(dict.fromkeys(due, now))
        first = environment.invocations - environment.lived + 1
        environment.tell(
            "LEAK",
            resources=due,
            since_invocation=first,
            until_invocation=environment.invocations,
            fresh=in_words(fresh, self._probe.limits),
            health=in_words(reading, self._probe.limits),
            suspects={name: self._suspects.of(name) for name in due},
        )


def _resources_of(state: State) -> list[str]:
    """The resources that the interpreter before this one was ended for."""
    return [name for name in state.reason.split(", ") if name in RESOURCES] if state.at else []


def _replacing(env: Mapping[str, str]) -> Callable[[], str]:
    def replace() -> str:
        from resilient_runtime.stores.own_function import OwnFunction

        return OwnFunction(env).replace_environments()

    return replace
