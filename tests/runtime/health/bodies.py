"""An execution environment made of numbers: what it uses, how fast it leaks, and what cures that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilient_runtime.clock import Clock
from resilient_runtime.health.attribution import Suspects
from resilient_runtime.health.caretaker import Caretaker
from resilient_runtime.health.probe import RESOURCES, Probe, Reading
from resilient_runtime.health.state import STATE_VARIABLE
from resilient_runtime.settings import HealthSettings

MB = 1024 * 1024
LIMITS = Reading(descriptors=1024, memory=128 * MB, tmp=None, threads=1024)
FRESH = Reading(descriptors=10, memory=40 * MB, tmp=None, threads=1)
ON_LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_LAMBDA_FUNCTION_NAME": "orders"}


class Recycled(BaseException):
    """The interpreter was started again, and told this state."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Left(BaseException):
    """The process ended itself."""


class Context:
    """What Lambda hands to a handler."""

    def __init__(self, number: int = 1) -> None:
        self.aws_request_id = f"request-{number}"


class NoSuspects(Suspects):
    """Looks at nothing: pytest's own process is large."""

    def note(self) -> None:
        """Nothing."""

    def note_memory(self) -> None:
        """Nothing."""

    def of(self, name: str) -> list[dict[str, Any]]:
        """One suspect."""
        return [{"what": "something", "count": 1}]


class NumbersProbe(Probe):
    """A probe that reads a body of numbers."""

    def __init__(self, body: Body) -> None:
        self.body = body
        super().__init__(body.limits, proc="/nowhere")

    def read(self) -> Reading:
        """The body's figures."""
        return self.body.reading

    def read_exactly(self) -> Reading:
        """The same."""
        return self.body.reading

    def peak_memory(self) -> int | None:
        """Nothing is needed only while an invocation runs."""
        return None


@dataclass
class Body:
    """One environment, and the caretaker of its present interpreter.

    :param fresh: what a new interpreter uses
    :param recycles_free: the resources that a new interpreter starts with anew
    """

    limits: Reading = LIMITS
    fresh: Reading = FRESH
    settings: HealthSettings = field(default_factory=HealthSettings)
    env: Mapping[str, str] = field(default_factory=lambda: dict(ON_LAMBDA))
    recycles_free: tuple[str, ...] = RESOURCES
    remaining: float = 30.0
    start_takes: float = 0.2
    irreplaceable: str | None = None
    working: list[str] = field(default_factory=list)
    seconds: float = 1_000_000.0
    lines: list[dict[str, Any]] = field(default_factory=list)
    recycles: int = 0
    exits: int = 0
    invocations: int = 0

    def __post_init__(self) -> None:
        self.reading = self.fresh
        self.start()

    def start(self, state: str | None = None) -> None:
        """A new interpreter begins."""
        env = dict(self.env)
        if state is not None:
            env[STATE_VARIABLE] = state
        self.caretaker = Caretaker(
            self.settings,
            env=env,
            clock=Clock(wall=lambda: self.seconds, ticks=lambda: self.seconds),
            emit=lambda line: self.lines.append(json.loads(line)),
            probe=NumbersProbe(self),
            interpreter=self,
            started=lambda: (self.start_takes, self.start_takes),
            leave=self._leave,
            collect=lambda give_back: 0,
            suspects=NoSuspects(None),
            # The test run's own processes and threads are none of the environment's.
            processes=list,
            working=lambda: self.working,
            irreplaceable=lambda: self.irreplaceable,
        )
        self.caretaker.between()

    def start_again(self, state: str) -> None:
        """Be the interpreter that is replaced."""
        raise Recycled(state)

    def _leave(self, code: int) -> None:
        raise Left(code)

    def invoke(self, event: Any = None, *, work: Callable[[], object] = lambda: None, **growth: int) -> None:
        """One invocation, in which something leaks."""
        self.invocations += 1
        assert self.invocations < 20_000
        self.seconds += 0.01
        try:
            self.caretaker.begin(event or {}, Context(self.invocations))
        except Left:
            self.exits += 1
            self._renew(self.recycles_free)
            self.start()
            return
        work()
        self.use(**growth)
        self.caretaker.end(lambda: int(self.remaining * 1000))
        try:
            self.caretaker.between()
        except Recycled as recycled:
            self.recycles += 1
            self._renew(self.recycles_free)
            self.seconds += self.start_takes
            self.start(recycled.state)

    def use(self, **growth: int) -> None:
        """Take more of something, or give it back."""
        self.reading = self.reading._replace(
            **{name: (getattr(self.reading, name) or 0) + more for name, more in growth.items()}
        )

    def _renew(self, names: tuple[str, ...]) -> None:
        self.reading = self.reading._replace(**{name: getattr(self.fresh, name) for name in names})

    @property
    def failed(self) -> bool:
        """Whether something is used up."""
        return any(
            used is not None and limit is not None and used >= limit
            for used, limit in zip(self.reading, self.limits, strict=True)
        )

    def told(self, status: str) -> list[dict[str, Any]]:
        """The lines of one kind."""
        return [line for line in self.lines if line["status"] == status]
