"""A world that the controller acts in: a table, its stream, mappings that take their time, and mishaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.clock import Clock
from resilient_runtime.controller import Controller, ControllerSettings, FeedSettings, MappingState
from resilient_runtime.controller.controller import Unavailable, Wake

__all__ = ["BEGAN", "Crash", "World", "stream_record"]

BEGAN = 1_800_000_000.0


class Crash(BaseException):
    """The controller's process ends here."""


def stream_record(name: str, before: CircuitState, circuit: Circuit) -> dict[str, Any]:
    """What the table's stream says of a change."""
    image: dict[str, Any] = {
        "name": {"S": name},
        "state": {"S": str(circuit.state)},
        "version": {"N": str(circuit.version)},
        "changed_at": {"N": f"{circuit.changed_at or 0:.3f}"},
        "transition": {"S": f"{before}>{circuit.state}"},
        "reason": {"S": circuit.reason},
        "by": {"S": circuit.by},
    }
    if circuit.retry_at is not None:
        image["retry_at"] = {"N": f"{circuit.retry_at:.3f}"}
    return {"eventName": "MODIFY", "dynamodb": {"Keys": {"name": {"S": name}}, "NewImage": image}}


@dataclass
class _Mapping:
    state: MappingState
    settles_at: float = 0.0
    settles_as: MappingState | None = None


@dataclass
class World:
    """Stands in for AWS.

    :ivar slow: seconds that a mapping takes to change
    :ivar busy: how many calls of Lambda are refused next
    :ivar crash_after: after how many further calls the controller's process ends
    """

    feeds: tuple[FeedSettings, ...]
    names: tuple[str, ...]
    now: float = BEGAN
    slow: float = 0.0
    busy: int = 0
    crash_after: int | None = None
    remaining: float = 30.0
    circuits: dict[str, Circuit] = field(default_factory=dict)
    wakes: list[tuple[float, Wake]] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    updates: list[tuple[str, bool, int | None]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    mappings: dict[str, _Mapping] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for feed in self.feeds:
            concurrency = int(feed.concurrency) if feed.concurrency else None
            retries = int(feed.retries) if feed.retries else None
            self.mappings[feed.mapping] = _Mapping(MappingState("Enabled", concurrency, retries))
        self.controller = Controller(
            ControllerSettings("circuits", "https://queue", self.feeds, self.names),
            read=self._read,
            mappings=self,
            wakes=self,
            events=self,
            emit=self.lines.append,
            clock=Clock(wall=lambda: self.now, ticks=lambda: self.now),
            sleep=self._sleep,
            random=lambda: 0.5,
        )

    def look(self, mapping: str) -> MappingState:
        """The mapping as it is, for tests."""
        found = self.mappings[mapping]
        if found.settles_as is not None and self.now >= found.settles_at:
            found.state, found.settles_as = found.settles_as, None
        return found.state

    def change(self, name: str, **changes: Any) -> dict[str, Any]:
        """Write a circuit's next version; the record that the stream has of it."""
        before = self.circuits.get(name, Circuit())
        after = replace(before, version=before.version + 1, changed_at=self.now, **changes)
        self.circuits[name] = after
        return stream_record(name, before.state, after)

    def circuit(self, name: str) -> Circuit:
        """The circuit as it is stored."""
        return self.circuits.get(name, Circuit())

    def open(self, name: str, *, seconds: float = 15) -> dict[str, Any]:
        """Open a circuit."""
        return self.change(name, state=CircuitState.OPEN, retry_at=self.now + seconds, reason="all failed")

    def be(self, name: str, state: CircuitState) -> dict[str, Any]:
        """Bring a circuit into another state."""
        return self.change(name, state=state, retry_at=None)

    def left(self) -> float:
        """Seconds until the invocation ends."""
        return self.remaining

    def due_wakes(self) -> list[Wake]:
        """The messages that may be got by now; each is got once."""
        due = [wake for at, wake in self.wakes if at <= self.now]
        self.wakes = [(at, wake) for at, wake in self.wakes if at > self.now]
        return due

    def read(self, mapping: str) -> MappingState | None:
        """What Lambda answers."""
        self._call_lambda()
        return self.look(mapping) if mapping in self.mappings else None

    def update(self, mapping: str, *, enabled: bool, concurrency: int | None, retries: int | None) -> None:
        """Lambda begins a change, or refuses while it makes one."""
        self._call_lambda()
        found = self.look(mapping)
        if found.state not in ("Enabled", "Disabled"):
            raise Unavailable(f"the mapping is {found.state}")
        self.updates.append((mapping, enabled, concurrency))
        goal = MappingState(
            "Enabled" if enabled else "Disabled",
            found.concurrency if concurrency is None else concurrency,
            found.retries if retries is None else retries,
        )
        passing = "Enabling" if enabled else "Disabling"
        if (found.state == "Enabled") == enabled:
            passing = "Updating"
        if self.slow:
            one = self.mappings[mapping]
            one.state, one.settles_at, one.settles_as = (
                MappingState(passing, goal.concurrency, goal.retries),
                self.now + self.slow,
                goal,
            )
        else:
            self.mappings[mapping].state = goal

    def leave(self, wake: Wake, seconds: int) -> None:
        """SQS keeps the message back."""
        self._step()
        assert 1 <= seconds <= 900
        self.wakes.append((self.now + seconds, wake))

    def put(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """EventBridge takes everything."""
        self._step()
        self.events.extend(entries)

    def _read(self, name: str) -> Circuit:
        self._step()
        return self.circuit(name)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.remaining -= seconds

    def _call_lambda(self) -> None:
        self._step()
        if self.busy:
            self.busy -= 1
            raise Unavailable("Rate exceeded")

    def _step(self) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                self.crash_after = None
                raise Crash
