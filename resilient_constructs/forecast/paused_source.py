"""A mapping that is paused while its consumer's circuit is open, by the controller's decisions."""

from __future__ import annotations

from collections.abc import Iterable

from resilient_runtime.breaker import Circuit, CircuitState, MemoryCircuits, Written
from resilient_runtime.controller import MappingState, StepKind, decide, feed_of

from .engine import Engine
from .event_source_mapping import EventSourceMapping

__all__ = ["PausedSource"]

MAPPING_SECONDS = 15.0
"""What a mapping takes to be disabled, enabled or held to another concurrency. AWS tells no figure."""


class PausedSource(MemoryCircuits):
    """Circuits whose every change is seen by the controller, which has a mapping follow one of them.

    :param name: of the downstream
    :param seconds: that each change of the mapping takes, the stream's record and its function included.
        While it is made no other can be, as on AWS
    :ivar changes: moments at which the mapping's state changed, and what it then was
    """

    def __init__(self, engine: Engine, name: str, *, seconds: float = MAPPING_SECONDS) -> None:
        super().__init__()
        self._engine = engine
        self._name = name
        self._seconds = seconds
        self._mapping: EventSourceMapping | None = None
        self._configured = 0
        self._state = MappingState("Enabled")
        self.changes: list[tuple[float, MappingState]] = []

    def feed(self, mapping: EventSourceMapping) -> None:
        """Have this mapping follow the circuit from now on."""
        self._mapping = mapping
        self._configured = mapping.max_concurrency
        self._state = MappingState("Enabled", mapping.max_concurrency)

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """Write a change, and let the controller see it."""
        written = super().change(name, circuit, before=before, over=over)
        if written.done and name == self._name:
            self._engine.after(0.0, self._look)
            if circuit.state is CircuitState.OPEN and circuit.retry_at is not None:
                self._engine.after(max(0.0, circuit.retry_at - self._engine.clock.wall()), self._look)
        return written

    def _look(self) -> None:
        wall = self._engine.clock.wall()
        step = decide(feed_of(self.read(self._name).circuit, wall), self._state, configured=self._configured)
        if self._mapping is None or step.kind is not StepKind.UPDATE:
            return
        concurrency = self._state.concurrency if step.concurrency is None else step.concurrency
        self._state = MappingState("Updating", concurrency)
        goal = MappingState("Enabled" if step.enabled else "Disabled", concurrency)
        self._engine.after(self._seconds, lambda: self._settled(goal))

    def _settled(self, goal: MappingState) -> None:
        assert self._mapping is not None  # noqa: S101  it began to change
        self._state = goal
        self.changes.append((self._engine.now, goal))
        self._mapping.change((goal.concurrency or 0) if goal.state == "Enabled" else 0)
        self._look()
