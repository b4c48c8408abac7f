"""A Lambda function: its execution environments, and the figures that CloudWatch has of it.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

from .engine import Engine

__all__ = ["FAILED", "Concurrency", "Done", "Environment", "Failed", "Function", "Scripted", "Working"]

Done = Callable[[Any], None]


class Failed:
    """What an invocation that raised, or ran into its timeout, ends with."""


FAILED = Failed()


class Environment(Protocol):
    """One execution environment; it works on one event at a time."""

    def invoke(self, event: Any, done: Done) -> None:
        """Begin to work on an event, and call ``done`` with its result once it is over."""


class Working:
    """An environment that runs real code: a function that sleeps in virtual time.

    :param handler: what is called with each event
    """

    def __init__(self, engine: Engine, handler: Callable[[Any], Any]) -> None:
        self._engine = engine
        self._handler = handler

    def invoke(self, event: Any, done: Done) -> None:
        """Run the handler in a thread of its own."""
        self._engine.start(lambda: done(self._handler(event)))


class Scripted:
    """An environment whose work is a generator that yields the seconds it waits: four times as fast.

    For code that is not ours, of which only what it does to others is of interest.

    :param script: made anew for each event; it returns the result, or raises to fail
    :param timeout: seconds after which the invocation is failed
    """

    def __init__(
        self,
        engine: Engine,
        script: Callable[[Any], Generator[float, None, Any]],
        *,
        timeout: float = float("inf"),
    ) -> None:
        self._engine = engine
        self._script = script
        self._timeout = timeout

    def invoke(self, event: Any, done: Done) -> None:
        """Go through the script."""
        engine, script, ends = self._engine, self._script(event), self._engine.now + self._timeout

        def step() -> None:
            try:
                seconds = next(script)
            except StopIteration as over:
                done(over.value)
            except Exception:  # noqa: BLE001  what a script raises is its invocation's failure
                done(FAILED)
            else:
                if engine.now + seconds > ends:
                    engine.at(ends, lambda: done(FAILED))
                else:
                    engine.after(seconds, step)

        step()


@dataclass(slots=True)
class Concurrency:
    """How many invocations run at once in an account, and the most in each minute, as CloudWatch tells it."""

    engine: Engine
    now: int = 0
    by_minute: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    _minute: int = 0

    def change(self, by: int) -> None:
        """So many more, or fewer, run."""
        self._carry()
        self.now += by
        if self.now > self.by_minute[self._minute]:
            self.by_minute[self._minute] = self.now

    def most(self) -> list[int]:
        """The most of each minute so far."""
        self._carry()
        return [self.by_minute[minute] for minute in range(self._minute + 1)]

    def _carry(self) -> None:
        minute = int(self.engine.now // 60)
        while self._minute < minute:
            self._minute += 1
            self.by_minute[self._minute] = self.now


@dataclass(slots=True)
class Function:
    """A function: an environment that is free takes the next event, else a new one is made.

    Errors carry the time at which their invocation began, as CloudWatch's do.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html

    :param make: makes an environment
    :param cold_start: seconds that a new environment takes before its first event
    :param concurrency: of the account
    :ivar busy_seconds: how long all environments together were at work, which is what Lambda bills
    """

    engine: Engine
    make: Callable[[], Environment]
    cold_start: float = 0.4
    concurrency: Concurrency | None = None
    invocations: int = 0
    invocations_by_minute: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    errors_by_minute: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    environments: int = 0
    busy_seconds: float = 0.0
    # The one used last is the first to be used again.
    _free: list[Environment] = field(default_factory=list)

    def invoke(self, event: Any, done: Done) -> None:
        """Invoke the function; ``done`` gets its result, or ``FAILED``."""
        began = self.engine.now
        minute = int(began // 60)
        self.invocations += 1
        self.invocations_by_minute[minute] += 1
        if self.concurrency is not None:
            self.concurrency.change(1)
        environment = self._free.pop() if self._free else None

        def over(result: Any) -> None:
            self.busy_seconds += self.engine.now - began
            if result is FAILED:
                self.errors_by_minute[minute] += 1
            if self.concurrency is not None:
                self.concurrency.change(-1)
            self._free.append(used)
            done(result)

        if environment is None:
            used = self.make()
            self.environments += 1
            self.engine.after(self.cold_start, lambda: used.invoke(event, over))
        else:
            used = environment
            used.invoke(event, over)

    def success_by_minute(self) -> dict[int, float]:
        """Percent of each minute's invocations that did not fail."""
        return {
            minute: 100 - 100 * self.errors_by_minute[minute] / invocations
            for minute, invocations in sorted(self.invocations_by_minute.items())
        }
