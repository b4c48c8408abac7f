"""Lambda's pollers between an SQS queue and a function.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

from __future__ import annotations

from dataclasses import dataclass

from .engine import Engine
from .functions import Failed, Function
from .sqs import Message, Queue

__all__ = ["EventSourceMapping"]

FIRST = 5
"""Batches in parallel to begin with."""

A_SECOND = 5.0
"""How many more of them a second while there is a backlog: 300 a minute."""


@dataclass(slots=True)
class EventSourceMapping:
    """Feeds a function from a queue.

    With a maximum concurrency it does not scale back, as AWS tells. Lambda's own back-off after function
    errors is not modelled: AWS does not say how it goes, and a partial batch response has none.

    :param max_concurrency: invocations at once, at most
    :param batch_size: messages to an invocation, at most
    :param latency: seconds from a message being there to the function being called
    """

    engine: Engine
    queue: Queue
    function: Function
    max_concurrency: int
    batch_size: int = 1
    latency: float = 0.02
    running: int = 0
    _allowed: int = 0
    _growing: bool = False

    def __post_init__(self) -> None:
        self._allowed = min(FIRST, self.max_concurrency)
        self.queue.on_message = self.poll

    def change(self, max_concurrency: int) -> None:
        """Hold it to another maximum from now on; to 0 while it is disabled. What runs is not ended by it."""
        self.max_concurrency = max_concurrency
        # A mapping that is enabled again begins anew.
        self._allowed = min(self._allowed or FIRST, max_concurrency)
        self.poll()

    def poll(self) -> None:
        """Receive what is there, as far as it may be worked on at once."""
        while self.queue.waiting:
            if self.running >= self._allowed:
                self._grow()
                return
            batch = self.queue.receive(self.batch_size)
            if batch:
                self.running += 1
                self._send(batch)

    def _send(self, batch: list[Message]) -> None:
        def over(result: set[int] | Failed) -> None:
            self.running -= 1
            if not isinstance(result, Failed):
                for message in batch:
                    if message.number not in result:
                        self.queue.delete(message)
            self.poll()

        self.engine.after(self.latency, lambda: self.function.invoke(batch, over))

    def _grow(self) -> None:
        if self._growing or self._allowed >= self.max_concurrency:
            return
        self._growing = True

        def grown() -> None:
            self._growing = False
            self._allowed = min(self._allowed + 1, self.max_concurrency)
            self.poll()

        self.engine.after(1 / A_SECOND, grown)
