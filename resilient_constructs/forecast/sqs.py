"""A standard queue: visibility, receive counts, and a dead-letter queue for what was received too often.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .engine import Engine

__all__ = ["Message", "Queue"]


# Not frozen and compared by identity: it is the one message that SQS holds, and it is counted on.
@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue.

    :ivar receives: how often it has been received
    :ivar deleted_at: when it was deleted; None while it was not
    """

    number: int
    sent_at: float
    receives: int = 0
    deleted_at: float | None = None
    # Which of its visibility timeouts counts: every change makes the ones before it void.
    timer: int = 0


@dataclass(slots=True)
class Queue:
    """A standard queue.

    Order is that of arrival, which a standard queue's is by and large; nothing is delivered twice by it.

    :param visibility: seconds that a received message stays invisible
    :param max_receive_count: a message that was received so often goes to the dead-letter queue at its next
        receive, as SQS does it. Default: never
    :param on_message: is told whenever a message can be received
    """

    engine: Engine
    visibility: float
    max_receive_count: int | None = None
    on_message: Callable[[], object] | None = None
    dead_letters: list[Message] = field(default_factory=list)
    sent: int = 0
    deleted: int = 0
    max_receives: int = 0
    last_deleted_at: float = 0.0
    _visible: deque[Message] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        """Messages that can be received now."""
        return len(self._visible)

    @property
    def unfinished(self) -> int:
        """Messages that are neither deleted nor dead-lettered."""
        return self.sent - self.deleted - len(self.dead_letters)

    def send(self) -> None:
        """A message comes."""
        message = Message(number=self.sent, sent_at=self.engine.now)
        self.sent += 1
        self._show(message)

    def receive(self, most: int) -> list[Message]:
        """Receive up to ``most`` messages; each stays invisible for the visibility timeout."""
        received: list[Message] = []
        while self._visible and len(received) < most:
            message = self._visible.popleft()
            if self.max_receive_count is not None and message.receives >= self.max_receive_count:
                self.dead_letters.append(message)
                continue
            message.receives += 1
            if message.receives > self.max_receives:
                self.max_receives = message.receives
            self.hide(message, self.visibility)
            received.append(message)
        return received

    def hide(self, message: Message, seconds: float) -> None:
        """ChangeMessageVisibility: the message may be received again in so many seconds."""
        message.timer += 1
        timer = message.timer

        def over() -> None:
            if message.timer == timer and message.deleted_at is None:
                self._show(message)

        self.engine.after(seconds, over)

    def delete(self, message: Message) -> None:
        """The message is done."""
        if message.deleted_at is None:
            message.deleted_at = self.last_deleted_at = self.engine.now
            self.deleted += 1

    def _show(self, message: Message) -> None:
        self._visible.append(message)
        if self.on_message is not None:
            self.on_message()
