"""The consumers of the reference experiment, each with a queue, a courier and a load of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from resilient_runtime.breaker import BreakerPolicy
from resilient_runtime.call import Call
from resilient_runtime.pace_plan import PacePlan
from resilient_runtime.returning import ReturnPolicy, visibility_after
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import SlowDown

from resilient_constructs.forecast.consumers import RuntimeConsumer
from resilient_constructs.forecast.courier import Courier, Manner
from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.event_source_mapping import EventSourceMapping
from resilient_constructs.forecast.functions import Environment, Function, Scripted, Working
from resilient_constructs.forecast.paused_source import PausedSource
from resilient_constructs.forecast.sqs import Message, Queue

__all__ = ["ATTEMPTS", "Drained", "article", "attempt_in_process", "paced", "plain", "unpaced"]

ATTEMPTS = 5
"""In-process attempts of the article's delivery client, 3 s + U(0, 5) s between them."""

_BREAKER = BreakerPolicy()
_TIMEOUT = 29.0
_VISIBILITY = 150.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """How one design coped.

    :param seconds: from the beginning of the load to the last delivery
    :param delivered_share: messages delivered, of those sent
    :param share_429: calls answered 429, of all calls
    :param max_receives: receives of the message that had most
    :param calls: of the courier, for one delivery
    :param lambda_seconds: that Lambda bills, for one delivery
    :param peak_backlog: messages in the queue, at its worst
    :param circuit_changes: writes of the circuit's state; 0 while it stayed closed
    :param dead_letters: messages that were received too often
    """

    seconds: float
    delivered_share: float
    share_429: float
    max_receives: int
    calls: float
    lambda_seconds: float
    peak_backlog: int
    circuit_changes: int = 0
    dead_letters: int = 0


def paced(
    arrivals: Sequence[float],
    *,
    seed: int,
    plan: PacePlan,
    manner: Manner | None = None,
    outages: Sequence[tuple[float, float]] = (),
    breaker: BreakerPolicy | None = _BREAKER,
    pauses: bool = False,
    most_receives: int | None = None,
) -> Drained:
    """Ours: the runtime's batch, pacing, breaker and returns, one message to an invocation.

    :param manner: how the courier behaves, where that is not what it was planned for
    :param outages: when it is down
    :param breaker: around the pace. Default: one with all its defaults
    :param pauses: whether the controller pauses the mapping while the circuit is open
    :param most_receives: after which a message is a dead letter. Default: there is no such number
    """
    with Engine() as engine:
        circuits = PausedSource(engine, "Courier")
        courier = Courier(engine, seed=seed, manner=manner or Manner(), outages=outages)
        queue = Queue(engine, visibility=6 * _TIMEOUT, max_receive_count=most_receives)
        downstream = DownstreamSettings(
            name="Courier",
            requests_per_second=plan.requests_per_second,
            burst=plan.burst,
            max_concurrency=plan.max_concurrency,
            breaker=None if breaker is None else breaker.to_settings(),
        )

        def deliver(order: Any, call: Call) -> None:  # noqa: ARG001
            with call.downstream("Courier"):
                answer = courier.call()
                engine.sleep(answer.seconds)
                if answer.status == 429:
                    raise SlowDown
                if answer.status != 200:
                    raise ConnectionError(f"the courier answered {answer.status}")

        numbers = count()

        def make() -> Environment:
            # A seed of its own, so that no environment's luck depends on how often another one looked at it.
            dice = random.Random(f"{seed}/{next(numbers)}")
            return Working(
                engine,
                RuntimeConsumer(
                    engine,
                    queue,
                    deliver,
                    downstreams=[downstream],
                    timeout=_TIMEOUT,
                    random=dice.random,
                    circuits=circuits,
                ),
            )

        function = Function(engine, make)
        drained = _drain(
            engine,
            courier,
            queue,
            function,
            arrivals,
            slots=plan.max_concurrency,
            controller=circuits if pauses else None,
        )
        return replace(drained, circuit_changes=circuits.read("Courier").circuit.version)


def unpaced(arrivals: Sequence[float], *, seed: int, slots: int) -> Drained:
    """As many slots, no pacing, and what fails returns after 2 to 10 s: what pacing alone changes."""
    policy = ReturnPolicy(first=10, least=0.2)

    def come_back(message: Message, random: Callable[[], float]) -> float:
        return visibility_after(message.receives, policy, random, failures=0)

    return _once(arrivals, seed=seed, slots=slots, come_back=come_back)


def plain(arrivals: Sequence[float], *, seed: int, slots: int) -> Drained:
    """Plain maximum concurrency as AWS has it: what fails returns when its visibility timeout ends."""
    return _once(arrivals, seed=seed, slots=slots, come_back=None)


def _once(
    arrivals: Sequence[float],
    *,
    seed: int,
    slots: int,
    come_back: Callable[[Message, Callable[[], float]], float] | None,
) -> Drained:
    """One attempt in each receive, whenever there is a slot."""
    with Engine() as engine:
        courier = Courier(engine, seed=seed)
        queue = Queue(engine, visibility=6 * _TIMEOUT)
        dice = random.Random(f"{seed}/returns")

        def deliver(batch: Sequence[Message]) -> Generator[float, None, set[int]]:
            (message,) = batch
            answer = courier.call()
            if answer.status != 200:
                if come_back is not None:
                    queue.hide(message, come_back(message, dice.random))
                return {message.number}
            yield answer.seconds
            return set()

        function = Function(engine, lambda: Scripted(engine, deliver, timeout=_TIMEOUT))
        return _drain(engine, courier, queue, function, arrivals, slots=slots)


def article(arrivals: Sequence[float], *, seed: int, slots: int = 10) -> Drained:
    """The article's flow control, its variant B: ten slots, and five attempts that sleep inside them."""
    with Engine() as engine:
        courier = Courier(engine, seed=seed)
        queue = Queue(engine, visibility=_VISIBILITY)
        dice = random.Random(f"{seed}/client")

        def deliver(_batch: Sequence[Message]) -> Generator[float, None, set[int]]:
            yield from attempt_in_process(courier, dice)
            return set()

        function = Function(engine, lambda: Scripted(engine, deliver, timeout=_TIMEOUT))
        return _drain(engine, courier, queue, function, arrivals, slots=slots)


def attempt_in_process(courier: Courier, dice: random.Random) -> Generator[float, None, None]:
    """The article's client: any failure is tried again at once, in the invocation.

    :raises ConnectionError: after the last attempt
    """
    for attempt in range(1, ATTEMPTS + 1):
        answer = courier.call()
        yield answer.seconds
        if answer.status == 200:
            return
        if attempt < ATTEMPTS:
            yield 3 + 5 * dice.random()
    raise ConnectionError("gave up")


def _drain(
    engine: Engine,
    courier: Courier,
    queue: Queue,
    function: Function,
    arrivals: Sequence[float],
    *,
    slots: int,
    controller: PausedSource | None = None,
) -> Drained:
    mapping = EventSourceMapping(engine, queue, function, max_concurrency=slots)
    if controller is not None:
        controller.feed(mapping)
    peak = 0

    def send() -> None:
        nonlocal peak
        queue.send()
        peak = max(peak, queue.unfinished)

    for moment in arrivals:
        engine.at(moment, send)
    engine.run()
    calls = len(courier.admitted) + len(courier.refused) + courier.called_in_vain
    return Drained(
        seconds=queue.last_deleted_at,
        delivered_share=queue.deleted / len(arrivals),
        share_429=courier.share_refused,
        max_receives=queue.max_receives,
        calls=calls / len(arrivals),
        lambda_seconds=function.busy_seconds / len(arrivals),
        peak_backlog=peak,
        dead_letters=len(queue.dead_letters),
    )
