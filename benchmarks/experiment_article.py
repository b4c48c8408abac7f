"""The article's two variants with all that its graphs show, to hold the simulation against what it published.

What is not published and must be assumed: how long the front function runs. It counts towards the account's
concurrency alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from resilient_constructs.forecast.asynchronous import AsynchronousInvocation
from resilient_constructs.forecast.courier import Courier
from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.event_source_mapping import EventSourceMapping
from resilient_constructs.forecast.functions import Concurrency, Environment, Function, Scripted
from resilient_constructs.forecast.sqs import Queue

from .experiment_designs import attempt_in_process

__all__ = ["Published", "variant_a", "variant_b"]

FRONT_SECONDS = 0.7
"""Of the front function, with its call of PutEvents."""

_TIMEOUT = 29.0


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the article's graphs show.

    :param concurrency: the account's, the most of each minute
    :param success: percent of the delivery function's invocations, by the minute that they began in
    :param errors: of those, that failed
    :param courier_success: percent of the calls that the courier admitted
    :param delivered: events that were delivered
    """

    concurrency: Sequence[int]
    success: Sequence[float]
    errors: Sequence[int]
    courier_success: float
    delivered: int


class _World:
    """What both variants share: the courier, the front function and the delivery function."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.courier = courier = Courier(engine, seed=seed)
        concurrency = Concurrency(engine)
        dice = random.Random(f"{seed}/client")

        def deliver(event: Any) -> Generator[float, None, set[int]]:  # noqa: ARG001
            yield from attempt_in_process(courier, dice)
            return set()

        def accept(event: Any) -> Generator[float, None, None]:  # noqa: ARG001
            yield FRONT_SECONDS

        def make() -> Environment:
            return Scripted(engine, deliver, timeout=_TIMEOUT)

        self.concurrency = concurrency
        self.delivery = Function(engine, make, concurrency=concurrency)
        self.front = Function(engine, lambda: Scripted(engine, accept), concurrency=concurrency)

    def drive(self, arrivals: Sequence[float], publish: Callable[[], object]) -> None:
        """Send the load through the front function; what comes out of it is published."""

        def accepted(_result: object) -> None:
            publish()

        for moment in arrivals:
            self.engine.at(moment, lambda: self.front.invoke(None, accepted))
        self.engine.run()

    def published(self, delivered: int) -> Published:
        """What was seen."""
        admitted = len(self.courier.admitted)
        success = self.delivery.success_by_minute()
        return Published(
            concurrency=self.concurrency.most(),
            success=list(success.values()),
            errors=[self.delivery.errors_by_minute[minute] for minute in success],
            courier_success=100 - 100 * self.courier.failed / admitted,
            delivered=delivered,
        )


def variant_a(arrivals: Sequence[float], *, seed: int) -> Published:
    """No flow control: the rule invokes the delivery function asynchronously."""
    with Engine() as engine:
        world = _World(engine, seed)
        queue = AsynchronousInvocation(engine, world.delivery)
        world.drive(arrivals, lambda: queue.send(None))
        return world.published(queue.delivered)


def variant_b(arrivals: Sequence[float], *, seed: int) -> Published:
    """The article's flow control: the rule sends to a queue, and ten at once are taken from it."""
    with Engine() as engine:
        world = _World(engine, seed)
        queue = Queue(engine, visibility=150.0)
        EventSourceMapping(engine, queue, world.delivery, max_concurrency=10)
        world.drive(arrivals, queue.send)
        return world.published(queue.deleted)
