"""A discrete simulation: one queue, its consumer's environments, and a courier that is down for a while.

Every environment is a thread, because the code under test is written to block. One of them runs at a time,
when the simulated time has come to it; so a run is the same for the same seed, and nobody waits.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from threading import Lock, Thread, local
from typing import NamedTuple

__all__ = ["START", "DownError", "Environment", "Load", "World"]

START = 1_700_000_000.0
"""The wall clock when the simulation begins."""

MOST_RECEIVES = 10
VISIBILITY_SECONDS = 180.0
"""What FlowControlledConsumer gives its queue by default: 10 receives, and six times a timeout of 30 s.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""

_LONGEST_DRAIN = 3600.0

here = local()
"""``here.environment``: the one whose thread this is."""


class DownError(ConnectionError):
    """The courier does not answer."""


class Load(NamedTuple):
    """What happens to the fleet. Times are in seconds.

    :param per_second: new messages, at random moments; those that come back are on top of it
    :param dead_for: how long the courier is down
    :param before: how long all is well before
    :param after: how long new messages arrive afterwards; then the queue is drained
    :param good_seconds: how long a call takes that succeeds
    :param bad_seconds: how long a call takes that fails
    """

    per_second: float
    dead_for: float = 600.0
    before: float = 60.0
    after: float = 150.0
    good_seconds: float = 0.3
    bad_seconds: float = 0.05
    environments: int = 50

    @property
    def healed(self) -> float:
        """When the courier is well again."""
        return self.before + self.dead_for


class Message:
    """One message, how often it was received, and from when on it may be again."""

    __slots__ = ("hidden_until", "id", "receives")

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.receives = 0
        self.hidden_until = 0.0


Consume = Callable[[int, int], bool]
"""Gets a message's number and how often it was received; whether it is done."""

Event = Callable[[], "Environment | None"]
"""Happens at its time; gives the environment whose turn it is then, if any."""


class Environment:
    """One execution environment: handles one message at a time.

    :param start: makes its consumer, in the environment's own thread, when its first message comes
    """

    def __init__(self, world: World, number: int, start: Callable[[Environment], Consume]) -> None:
        self.world = world
        self.number = number
        self.message: Message | None = None
        self.turn = Lock()
        self.turn.acquire()
        self._start = start
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        here.environment = self
        consume: Consume | None = None
        self.turn.acquire()
        while (message := self.message) is not None:
            try:
                if consume is None:
                    consume = self._start(self)
                done = consume(message.id, message.receives)
            except BaseException as error:  # noqa: BLE001  told by the thread that waits
                self.world.error = error
                done = False
            self.message = None
            self.world.is_over(self, message, done=done)
            self.world.pass_on(self.turn)


class World:
    """A run: ``World(load, start, seed).run()``, then its figures.

    :ivar calls: when each call of the courier began
    :ivar ended: when each ended, and whether it failed
    :ivar dead_lettered: messages that were received too often
    :ivar most_receives: of a message
    """

    def __init__(self, load: Load, start: Callable[[Environment], Consume], seed: int) -> None:
        self.load = load
        self.now = 0.0
        self.random = Random(seed)
        self.error: BaseException | None = None
        self.calls: list[float] = []
        self.ended: list[tuple[float, bool]] = []
        self.arrived = self.completed = self.dead_lettered = self.most_receives = self.receives = 0
        self._events: list[tuple[float, int, Event]] = []
        self._number = 0
        self._waiting: deque[Message] = deque()
        self._turn = Lock()
        self._idle = [Environment(self, number, start) for number in range(load.environments)]
        self._fleet = list(self._idle)

    def run(self) -> World:
        """From the first message to the last."""
        self._turn.acquire()
        self._arrive_later()
        self.pass_on(self._turn)
        for environment in self._fleet:
            environment.turn.release()
        if self.error is not None:
            raise self.error
        return self

    def pass_on(self, mine: Lock) -> None:
        """Let time pass until it is the turn of whoever calls this; the others run meanwhile."""
        turn = self._next()
        if turn is not mine:
            turn.release()
            mine.acquire()

    def wall(self) -> float:
        """What the clock on the wall says."""
        return START + self.now

    def ticks(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let an environment's time pass; called in its thread."""
        environment: Environment = here.environment
        self._at(self.now + seconds, lambda: environment)
        self.pass_on(environment.turn)

    def call_courier(self) -> None:
        """One call, as long as it takes.

        :raises DownError: while the courier is down
        """
        load, began = self.load, self.now
        is_down = load.before <= began < load.healed
        self.calls.append(began)
        self.sleep(load.bad_seconds if is_down else load.good_seconds)
        self.ended.append((self.now, is_down))
        if is_down:
            raise DownError("no answer")

    def hide(self, seconds: float) -> None:
        """Have the message that is being handled return in so many seconds; called in its thread.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
        """
        environment: Environment = here.environment
        assert environment.message is not None
        environment.message.hidden_until = self.now + seconds

    def sent_into_the_outage(self) -> int:
        """Calls that had no chance."""
        return sum(self.load.before <= began < self.load.healed for began in self.calls)

    def is_over(self, environment: Environment, message: Message, *, done: bool) -> None:
        """An invocation ended; its message is deleted, or hidden for as long as was told."""
        if done:
            self.completed += 1
        else:
            # One that was to return while its slot still waited is received after that.
            self._at(max(message.hidden_until, self.now), lambda: self._waiting.append(message))
        self._idle.append(environment)

    def _arrive_later(self) -> None:
        at = self.now + self.random.expovariate(self.load.per_second)
        if at < self.load.healed + self.load.after:
            self._at(at, self._arrive)

    def _arrive(self) -> None:
        self.arrived += 1
        self._waiting.append(Message(self.arrived))
        self._arrive_later()

    def _next(self) -> Lock:
        """Whose turn it is next."""
        until = self.load.healed + self.load.after + _LONGEST_DRAIN
        while self.error is None and self.now < until:
            environment: Environment | None = None
            if self._waiting and self._idle:
                environment = self._deliver(self._waiting.popleft())
            elif self._events:
                self.now, _, happen = heapq.heappop(self._events)
                environment = happen()
            else:
                break
            if environment is not None:
                return environment.turn
        return self._turn

    def _deliver(self, message: Message) -> Environment | None:
        message.receives += 1
        if message.receives > MOST_RECEIVES:
            self.dead_lettered += 1
            return None
        self.receives += 1
        self.most_receives = max(self.most_receives, message.receives)
        message.hidden_until = self.now + VISIBILITY_SECONDS
        environment = self._idle.pop(self.random.randrange(len(self._idle)))
        environment.message = message
        return environment

    def _at(self, at: float, happen: Event) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, happen))
