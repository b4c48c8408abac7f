"""Execution environments of a queue's consumer: ours, with the runtime's own code, and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilient_runtime.batch import Batch
from resilient_runtime.breaker import CircuitStore, MemoryCircuits
from resilient_runtime.breaker.equipment import guarded
from resilient_runtime.call import Call
from resilient_runtime.in_progress import InProgress
from resilient_runtime.pacing import Pacer
from resilient_runtime.rejection import Rejection
from resilient_runtime.returning import Returns
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.status import StatusLines, Teller

from .engine import Engine
from .sqs import Message, Queue

__all__ = ["RuntimeConsumer"]

ARN = "arn:aws:sqs:eu-west-1:111122223333:forecast"


class RuntimeConsumer:
    """One environment of ``resilient_runtime`` in mode ``messages``: its batch, pacing, breakers and returns.

    :param function: the handler, ``f(body, call)``; the body is the message's number
    :param circuits: what all environments share of the breakers' circuits. Default: this one's own
    :param timeout: seconds of the function's timeout; nothing is killed by it here, the code keeps to it
    :param random: randomness of this environment
    """

    def __init__(
        self,
        engine: Engine,
        queue: Queue,
        function: Callable[[Any, Call], Any],
        *,
        downstreams: Sequence[DownstreamSettings],
        timeout: float,
        random: Callable[[], float],
        circuits: CircuitStore | None = None,
    ) -> None:
        self._engine = engine
        self._timeout = timeout
        self._ends = 0.0
        clock = engine.clock
        self.pacer = Pacer(clock=clock, random=random, sleep=engine.sleep)
        lines = StatusLines(service="forecast", function_name="forecast", clock=clock)
        untold = _Untold(_nothing)
        # As the runtime has it: the breaker around the pace, for who is refused need not wait for a turn.
        boundary = guarded(
            downstreams,
            self.pacer,
            store=circuits or MemoryCircuits(),
            lines=lines,
            tell=untold,
            random=random,
        )
        self._batch = Batch(
            function,
            dead_letters=_Nowhere(),
            lines=lines,
            tell=untold,
            downstreams={one.name: one for one in downstreams},
            boundary=boundary,
            guard=self,
            in_progress=InProgress(),
            refuses=boundary.refuses,
            returns=Returns(_Visibility(queue), clock=clock, random=random, heed=self.pacer.heed),
            sleep=engine.sleep,
            random=random,
        )

    def __call__(self, messages: Sequence[Message]) -> set[int]:
        """Handle a batch; returns the numbers of the messages that go back."""
        self._ends = self._engine.now + self._timeout
        event = {"Records": [_record(message) for message in messages]}
        answer = self._batch.run(event, None, lambda: int(self.left() * 1000))
        return {int(one["itemIdentifier"]) for one in answer["batchItemFailures"]}

    # What the batch asks of a deadline guard: virtual time has no signals, and nothing is interrupted in it.

    margin = 1.0
    passed = False
    broke_off = False

    def left(self) -> float:
        """Seconds until the function's timeout."""
        return self._ends - self._engine.now

    def arm(self, remaining: object) -> None:
        """Nothing."""

    def disarm(self) -> None:
        """Nothing."""

    def enter(self) -> None:
        """Nothing."""

    def leave(self) -> None:
        """Nothing."""


class _Record(dict[str, Any]):
    """A record of Lambda's that knows the message it is of."""

    message: Message


def _record(message: Message) -> _Record:
    record = _Record(
        messageId=str(message.number),
        receiptHandle=str(message.number),
        body=str(message.number),
        attributes={"ApproximateReceiveCount": str(message.receives)},
        eventSourceARN=ARN,
    )
    record.message = message
    return record


class _Visibility:
    """ChangeMessageVisibility of the simulated queue."""

    needs = 0.0

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        for record, seconds in delays:
            assert isinstance(record, _Record)  # noqa: S101  the queue gave it out
            self._queue.hide(record.message, seconds)


class _Nowhere:
    """A dead-letter queue for handlers that never reject."""

    def store(self, record: Mapping[str, Any], rejection: Rejection) -> bool:
        raise NotImplementedError("the forecast's handlers reject nothing")


def _nothing(line: str) -> None:
    """Take a line that is never written."""


class _Untold(Teller):
    """Tells nothing: writing the records would take half of the run."""

    __slots__ = ()

    def __call__(self, write: Callable[..., str], /, *arguments: Any, **named: Any) -> None:
        """Nothing."""
