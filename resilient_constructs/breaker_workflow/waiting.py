"""Where work waits: to be started, for the circuit, and for somebody to look at what was given up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import queues

__all__ = ["Waiting", "make_waiting"]

# SQS's most. A message that StartExecution had no room for, or that waited for its turn in vain, has spent a
# receive and is as good as before; what can never be started is rejected by the starter, at once.
_RECEIVES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A workflow's queues, and what was read of them once.

    :param work: what is to be started
    :param parked: what waits for the circuit; None where nothing is parked in a queue
    :param dead_letters: what was given up, or could not be started
    :param work_name: the name of the work queue, without a reference where it was made here
    :param parked_name: the same of the parked queue
    :param keys: the customer keys of all three, each once
    """

    work: sqs.IQueue
    work_arn: str
    work_name: str
    parked: sqs.IQueue | None
    parked_arn: str | None
    parked_name: str | None
    dead_letters: sqs.IQueue
    dead_letters_arn: str
    keys: tuple[kms.IKey, ...]

    @property
    def fed_arns(self) -> list[str]:
        """What the starter takes from."""
        return [self.work_arn, *([] if self.parked_arn is None else [self.parked_arn])]

    @property
    def sent_arns(self) -> list[str]:
        """What the state machine sends to."""
        return [self.dead_letters_arn, *([] if self.parked_arn is None else [self.parked_arn])]


def make_waiting(
    scope: Construct,
    *,
    work: sqs.IQueue | None,
    parked: sqs.IQueue | None,
    dead_letters: sqs.IQueue | None,
    parks: bool,
    visibility_timeout: float,
    encryption_key: kms.IKey | None,
) -> Waiting:
    """Make the queues that were not given.

    :param parks: whether work is parked in a queue
    :param visibility_timeout: seconds for which the starter has a message to itself
    """
    work_name = queues.name_queue(scope, fifo=False)
    parked_name = queues.name_queue(scope, fifo=False, part="Parked")
    made_parked = parks and parked is None
    end = dead_letters or queues.make_dead_letter_queue(
        scope,
        "DeadLetterQueue",
        source=work_name,
        also=[parked_name] if made_parked else (),
        fifo=False,
        encryption_key=encryption_key,
    )

    def make(construct_id: str, name: queues.QueueName) -> sqs.Queue:
        return queues.make_queue(
            scope,
            construct_id,
            name=name,
            fifo=False,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=end,
            max_receive_count=_RECEIVES,
            encryption_key=encryption_key,
        )

    start = work or make("Queue", work_name)
    aside = None
    if parks:
        aside = parked or make("ParkedQueue", parked_name)
    return Waiting(
        work=start,
        work_arn=start.queue_arn,
        work_name=work_name.name if work is None else work.queue_name,
        parked=aside,
        parked_arn=None if aside is None else aside.queue_arn,
        parked_name=None if aside is None else parked_name.name if made_parked else aside.queue_name,
        dead_letters=end,
        dead_letters_arn=end.queue_arn,
        keys=_distinct(start, aside, end),
    )


def _distinct(*given: sqs.IQueue | None) -> tuple[kms.IKey, ...]:
    keys: list[kms.IKey] = []
    found: Iterable[kms.IKey | None] = (queues.facts_of(one).key for one in given if one is not None)
    for key in found:
        if key is not None and not any(key is one for one in keys):
            keys.append(key)
    return tuple(keys)
