"""The three consumers that meet the outage: ours, one with Powertools' breaker, and one without any.

Each gives a function that an environment calls when it starts, and that gives back what handles one message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import local
from types import SimpleNamespace
from typing import Any
from unittest import mock

from resilient_runtime.application import build
from resilient_runtime.breaker import BreakerPolicy
from resilient_runtime.call import Call
from resilient_runtime.clock import Clock
from resilient_runtime.lifecycle import NoCaretaker, NoGuard
from resilient_runtime.settings import DownstreamSettings, Settings
from resilient_runtime.stores.circuits import DynamoDBCircuits

from .outage_table import Table
from .outage_world import Consume, Environment, World, here

__all__ = ["Side", "deliver", "none", "ours", "powertools", "simulated_powertools"]

NAME = "Courier"


class Side:
    """One contestant in one run.

    :ivar changes: when its circuit changed its state, and into which
    :ivar start: starts one environment
    """

    def __init__(self, start: Callable[[Side, Environment], Consume], key: str = "name") -> None:
        self.changes: list[tuple[float, str]] = []
        self.world: World | None = None
        self.table = Table(key, self._wait)
        self._start = start

    def start(self, environment: Environment) -> Consume:
        """Make the consumer of one environment."""
        self.world = environment.world
        return self._start(self, environment)

    def changed(self, to: str) -> None:
        """The circuit changed its state just now."""
        assert self.world is not None
        self.changes.append((self.world.now, to))

    def _wait(self, seconds: float) -> None:
        assert self.world is not None
        self.world.sleep(seconds)


def deliver(_: Any, call: Call) -> None:
    """The handler of our consumer, as a user writes it."""
    with call.downstream(NAME):
        here.environment.world.call_courier()


def ours(policy: BreakerPolicy) -> Side:
    """The whole runtime as Lambda has it: batch, boundary, breaker, and the store over its requests."""
    downstream = DownstreamSettings(name=NAME, breaker=policy.to_settings())
    variables = Settings(
        handler=f"{__name__}.deliver",
        mode="messages",
        downstreams=(downstream,),
        circuits_table="circuits",
        dead_letter_queue_url="none",
    ).to_env()

    def start(side: Side, environment: Environment) -> Consume:
        world = environment.world

        def emit(line: str) -> None:
            if '"status":"CIRCUIT"' in line:
                side.changed(json.loads(line)["to"])

        handle = build(
            variables,
            clock=Clock(wall=world.wall, ticks=world.ticks),
            emit=emit,
            caretaker=NoCaretaker(),
            guard=NoGuard(),
            circuits=DynamoDBCircuits("circuits", lambda: side.table),
            visibility=_Told(world),
            random=world.random.random,
            sleep=world.sleep,
        )

        def consume(message: int, receives: int) -> bool:
            return not handle(_event(message, receives), None)["batchItemFailures"]

        return consume

    return Side(start)


class _Told:
    """ChangeMessageVisibility of the world's queue. The other two leave their messages to its default."""

    needs = 0.0

    def __init__(self, world: World) -> None:
        self._world = world

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        for _, seconds in delays:
            self._world.hide(seconds)


def powertools() -> Side:
    """Powertools' breaker with its defaults, and its own store over DynamoDB's requests."""
    from aws_lambda_powertools.utilities.circuit_breaker import circuit_breaker
    from aws_lambda_powertools.utilities.circuit_breaker.persistence import (
        CircuitBreakerDynamoDBPersistence,
    )

    def start(side: Side, environment: Environment) -> Consume:
        def changed(transition: Any) -> None:
            side.changed(transition.to_state.name)

        guard = circuit_breaker(
            name=NAME,
            persistence_store=CircuitBreakerDynamoDBPersistence("circuits", boto3_client=side.table),  # type: ignore[arg-type]
            on_transition=changed,
        )
        return _consumer(guard(environment.world.call_courier))

    return Side(start, key="id")


def none() -> Side:
    """No breaker: every message is tried."""
    return Side(lambda _, environment: _consumer(environment.world.call_courier))


@contextmanager
def simulated_powertools(world: World) -> Iterator[None]:
    """Powertools tells the time by the world's clock, and its counters are each environment's own.

    It keeps them in its module, as a Lambda environment is a process; here each is a thread.
    """
    from aws_lambda_powertools.utilities.circuit_breaker import base
    from aws_lambda_powertools.utilities.circuit_breaker.persistence import base as persistence
    from aws_lambda_powertools.utilities.circuit_breaker.persistence import dynamodb

    now = SimpleNamespace(timestamp=world.wall)
    time = SimpleNamespace(datetime=SimpleNamespace(now=lambda: now))
    with (
        mock.patch.object(base, "dt", time),
        mock.patch.object(persistence, "dt", time),
        mock.patch.object(dynamodb, "dt", time),
        mock.patch.object(base, "_LOCAL_FAILURES", _PerThread()),
        mock.patch.object(base, "_LOCAL_SUCCESSES", _PerThread()),
        mock.patch.object(base, "_LAST_OBSERVED_STATE", _PerThread()),
    ):
        yield


class _PerThread:
    """The part of a dictionary that Powertools uses, each thread with its own."""

    def __init__(self) -> None:
        self._here = local()

    def get(self, key: str, default: Any = None) -> Any:
        return vars(self._here).get(key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        vars(self._here)[key] = value


def _consumer(call: Callable[[], None]) -> Consume:
    def consume(_: int, __: int) -> bool:
        try:
            call()
        except Exception:  # noqa: BLE001  whatever it is, the message goes back
            return False
        return True

    return consume


def _event(message: int, receives: int) -> Mapping[str, Any]:
    record = {
        "messageId": f"m-{message}",
        "receiptHandle": "-",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:orders",
    }
    return {"Records": [record]}
