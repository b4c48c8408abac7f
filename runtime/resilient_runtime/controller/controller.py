"""Brings every mapping to what its circuits let through, whatever the reason to look was.

Three things make it look: the table's stream, when a circuit has changed; a message that it left itself in
a queue, for the moment when a circuit's recovery time is over or a mapping in change should be done; and,
every few minutes, a schedule, which repairs whatever a lost event, a crash or a hand has left.

The queue's delay counts seconds. EventBridge Scheduler would invoke at any time within the minute, four times
the shortest recovery time, and would need leave to pass a role on.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.clock import Clock

from .feeding import MappingState, Step, StepKind, decide, feed_of_all
from .settings import ControllerSettings, FeedSettings
from .telling import Change, change_in, event_of, state_line

__all__ = ["Controller", "Events", "Mappings", "Trigger", "Unavailable", "Wake", "Wakes"]

_T = TypeVar("_T")

LONGEST_DELAY = 900
"""Seconds that SQS keeps a message back at most; whoever has to wait longer waits several times.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

_ROUNDS = 5
"""How often a mapping is looked at in one go, each time after a change of ours."""
_TRIES = 3
_FIRST_PAUSE = 0.4
_RESERVE = 5.0
"""Seconds kept of the invocation's time: below, nothing is tried again in it."""
_SOON, _GROWTH, _LATER = 2.0, 1.5, 30.0


class Unavailable(Exception):  # noqa: N818  it says what the mappings are
    """AWS refused for now (throttled, busy, in change); the same call may succeed in a moment."""


class Trigger(StrEnum):
    """Why the controller looks."""

    STREAM = "stream"
    WAKE = "wake"
    SCHEDULE = "schedule"


class Wake(NamedTuple):
    """A message that the controller leaves itself.

    :param name: the circuit
    :param version: the circuit's version when the message was left
    :param tries: how many times in a row a mapping was left to look at again
    :param recovery: whether it is for the end of the recovery time, not for a mapping in change
    """

    name: str
    version: int
    tries: int = 0
    recovery: bool = False


class Mappings(Protocol):
    """The event source mappings. ``Unavailable`` means: later; another error: something is wrong."""

    def read(self, mapping: str) -> MappingState | None:
        """The mapping as it is; None where there is none."""
        ...

    def update(self, mapping: str, *, enabled: bool, concurrency: int | None, retries: int | None) -> None:
        """Change it; None leaves concurrency or retries alone."""
        ...


class Wakes(Protocol):
    """Messages to oneself."""

    def leave(self, wake: Wake, seconds: int) -> None:
        """To be got after so many seconds."""
        ...


class Events(Protocol):
    """The event bus."""

    def put(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Tell whoever listens.

        :raises Exception: when one of them was not taken
        """
        ...


class Controller:
    """One controller; it keeps nothing between two calls.

    :param settings: what it looks after
    :param read: the circuit of that name as it is at this moment, by a consistent read
    :param mappings: where it acts
    :param wakes: where it leaves itself messages
    :param events: where it tells of changes
    :param emit: takes each line of the log
    :param clock: the time
    :param sleep: waits so many seconds
    :param random: from 0 up to 1, for jitter
    """

    def __init__(
        self,
        settings: ControllerSettings,
        *,
        read: Callable[[str], Circuit],
        mappings: Mappings,
        wakes: Wakes,
        events: Events,
        emit: Callable[[str], object],
        clock: Clock,
        sleep: Callable[[float], object],
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._read = read
        self._mappings = mappings
        self._wakes = wakes
        self._events = events
        self._emit = emit
        self._clock = clock
        self._sleep = sleep
        self._random = random

    def on_stream(self, records: Iterable[Mapping[str, Any]], remaining: Callable[[], float]) -> None:
        """Circuits have changed.

        First the mappings, then the telling: when that fails the stream repeats all of it. A mapping that
        cannot be changed keeps nobody from being told: a message is left, and the reconciler raises.

        :param remaining: seconds until this invocation ends
        """
        changes = [change for record in records if (change := change_in(record)) is not None]
        for name in dict.fromkeys(change.name for change in changes):
            self._look(name, Trigger.STREAM, remaining)
        self._tell([change for change in changes if change.name in self._settings.circuits])

    def on_wake(self, wake: Wake, remaining: Callable[[], float]) -> None:
        """A message of one's own has come."""
        self._look(wake.name, Trigger.WAKE, remaining, wake)

    def on_schedule(self, remaining: Callable[[], float]) -> None:
        """The time of the reconciler has come: look at everything, and tell each circuit's state.

        :raises ExceptionGroup: when something could not be done for another reason than being busy
        """
        faults: list[Exception] = []
        names = [name for feed in self._settings.feeds for name in feed.downstreams]
        for name in dict.fromkeys((*names, *self._settings.circuits)):
            try:
                faults += self._look(name, Trigger.SCHEDULE, remaining)
                if name in self._settings.circuits:
                    now = self._clock.wall()
                    self._emit(state_line(name, self._read(name), table=self._settings.table, now=now))
            except Exception as fault:  # noqa: BLE001  the other circuits have their turn first
                faults.append(fault)
        if faults:
            raise ExceptionGroup("some event source mappings may not be as their circuits want", faults)

    def _look(
        self, name: str, trigger: Trigger, remaining: Callable[[], float], wake: Wake | None = None
    ) -> list[Exception]:
        """Settle every mapping that depends on a circuit; what went wrong, if not for being busy."""
        feeds = [feed for feed in self._settings.feeds if name in feed.downstreams]
        faults: list[Exception] = []
        if not feeds:
            return faults
        # Before the mappings: a change that comes after this read has a record of its own in the stream.
        circuit = self._read(name)
        is_done = True
        for feed in feeds:
            try:
                is_done &= self._settle(feed, remaining)
            except Exception as fault:  # noqa: BLE001  the other mappings have their turn first
                faults.append(fault)
                self._emit(f"mapping {feed.mapping} of {name}: {type(fault).__name__}: {fault}")
        if faults or not is_done:
            tries = 0 if wake is None else wake.tries + 1
            pause = min(_SOON * _GROWTH ** min(tries, 20), _LATER)
            self._leave(Wake(name, circuit.version, tries), pause * (0.75 + self._random() / 2))
        self._await_recovery(name, circuit, trigger, wake)
        return faults

    def _await_recovery(self, name: str, circuit: Circuit, trigger: Trigger, wake: Wake | None) -> None:
        """See to it that somebody looks when the circuit's recovery time is over."""
        if circuit.state is not CircuitState.OPEN or circuit.retry_at is None:
            return
        left = circuit.retry_at - self._clock.wall()
        if left <= 0:
            return
        # One chain of messages per opening: one about an older opening ends here, as the record of the newer
        # began its own, and one about a mapping begins none, else they would multiply. The reconciler begins
        # another only when its next run would be too late.
        if wake is not None and not (wake.recovery and wake.version == circuit.version):
            return
        if trigger is Trigger.SCHEDULE and left > self._settings.period:
            return
        self._leave(Wake(name, circuit.version, recovery=True), left)

    def _leave(self, wake: Wake, seconds: float) -> None:
        self._wakes.leave(wake, min(max(math.ceil(seconds), 1), LONGEST_DELAY))

    def _settle(self, feed: FeedSettings, remaining: Callable[[], float]) -> bool:
        """Bring one mapping to what its circuits let through; False when it has to be looked at again.

        After each change everything is read anew. Two controllers at work at the same time, one of them with
        an older circuit in its hands, thus end with what the newer one says, whoever writes last.
        """
        configured = int(feed.concurrency) if feed.concurrency else None
        for _ in range(_ROUNDS):
            step = self._next_step(feed, configured, remaining)
            if step is None or step.kind is StepKind.WAIT:
                return False
            if step.kind is StepKind.NOTHING:
                return True
            if self._patiently(partial(self._update, feed.mapping, step), remaining) is None:
                return False
        return False

    def _next_step(
        self, feed: FeedSettings, configured: int | None, remaining: Callable[[], float]
    ) -> Step | None:
        found = self._patiently(lambda: (self._mappings.read(feed.mapping),), remaining)
        if found is None:
            return None
        circuits = [self._read(name) for name in feed.downstreams]
        retries = int(feed.retries) if feed.retries else None
        return decide(feed_of_all(circuits, self._clock.wall()), found[0], configured, retries)

    def _update(self, mapping: str, step: Step) -> bool:
        self._mappings.update(
            mapping, enabled=step.enabled, concurrency=step.concurrency, retries=step.retries
        )
        return True

    def _patiently(self, call: Callable[[], _T], remaining: Callable[[], float]) -> _T | None:
        """What the call gives; None when AWS was too busy as long as there was time."""
        pause = _FIRST_PAUSE
        for tried in range(1, _TRIES + 1):
            try:
                return call()
            except Unavailable:
                if tried == _TRIES or remaining() < _RESERVE + pause:
                    return None
                self._sleep(pause * self._random())
                pause *= 2
        return None

    def _tell(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        settings, now = self._settings, self._clock.wall()
        for change in changes:
            self._emit(state_line(change.name, change, table=settings.table, now=now))
        self._events.put([event_of(change, bus=settings.bus, table=settings.table) for change in changes])
