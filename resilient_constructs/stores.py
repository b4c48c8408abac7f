"""Where work can be stored and who can take it: the values that construct rooms hand to one another.

Rooms never import each other. A bus offers ``bus.events(...)``, a consumer ``consumer.messages()``; an API
takes either, because both are one of the two values here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aws_cdk import aws_events as events
    from aws_cdk import aws_sqs as sqs

__all__ = ["EventStore", "QueueStore", "Subscriber"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventStore:
    """An event bus as a place to store what was accepted.

    :param bus: the bus that ``PutEvents`` goes to
    :param source: the event's ``source``, for example ``shop``
    :param detail_type: the event's ``detail-type``, for example ``OrderPlaced``
    :param bus_arn: the bus's ARN, where it was read before: reading it again is a round trip to Node.
        Default: it is read from the bus
    """

    bus: events.IEventBus
    source: str
    detail_type: str
    bus_arn: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStore:
    """An SQS queue as a place to store what was accepted.

    :param queue: the queue that ``SendMessage`` goes to
    :param message_group: for a FIFO queue, the top-level body property whose value is the message group
    :param deduplicate_by: for a FIFO queue without content-based deduplication, the top-level body
        property whose value is the deduplication ID. Default: the client's ``Idempotency-Key``, else the
        request ID, so that nothing is dropped
    """

    queue: sqs.IQueue
    message_group: str | None = None
    deduplicate_by: str | None = None


@runtime_checkable
class Subscriber(Protocol):
    """Whoever takes work from a queue of their own; ``FlowControlledConsumer`` is one."""

    @property
    def queue(self) -> sqs.IQueue:
        """The queue that feeds this subscriber."""
        ...
