"""Two queues before one function: urgent messages do not wait behind all the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import queues
from resilient_constructs.downstream import Downstream, pause_source
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import settle
from resilient_constructs.tokens import is_token, seconds

from .choices import Chosen
from .emitted import Emitted
from .given import GivenQueues
from .limits import MAX_CONCURRENCY, QUEUE_PAGE, URGENT_ALARM_AGE, URGENT_SHARE
from .measured import MeasuredConsumer
from .source import Source
from .watching import watch_lane

__all__ = ["Lane", "Made", "Split", "UrgentLane", "check_lanes", "make_queues", "split", "take_all"]

_LEAST = int(MAX_CONCURRENCY.low or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class UrgentLane:
    """A second queue before the same function, for what must not wait behind a backlog.

    A part of the consumer's concurrency, and with it of its downstreams' rate, is set aside for it. What is
    set aside is not lent: while nothing urgent waits, it is not used, and the other way round.

    :param share: the part that is set aside, 0.01 to 0.99; each lane gets at least two invocations at once.
        Default: a quarter
    :param alarm_when_older_than: the age of its oldest message that wakes someone. Default: 5 minutes

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """

    share: float = URGENT_SHARE.default or 0
    alarm_when_older_than: Duration | None = None

    @property
    def alarm_age(self) -> float:
        """Seconds that its oldest message may wait."""
        return seconds(self.alarm_when_older_than, default=URGENT_ALARM_AGE.default or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How many invocations each lane may run at once.

    :param urgent: 0 where there is one lane only
    """

    ordinary: float
    urgent: int


def check_lanes(faults: Faults, lane: UrgentLane | None, concurrency: float, *, queue: object) -> None:
    """Note a lane that cannot be made, or a concurrency that is too small for two."""
    if lane is None:
        return
    faults.check(URGENT_SHARE, lane.share)
    faults.check(URGENT_ALARM_AGE, lane.alarm_age)
    page = MAX_CONCURRENCY.page
    if is_token(lane.share) or is_token(concurrency):
        # each lane's part is computed at synth
        faults.add("urgent_lane", "a token as share or max_concurrency", "numbers known at synth", page)
    elif concurrency < 2 * _LEAST:
        allowed = f"at least {2 * _LEAST} with an urgent lane: {_LEAST} for each queue"
        faults.add("max_concurrency", concurrency, allowed, page)
    if queue is not None:
        allowed = "None with a queue of yours: both lanes' queues share a dead-letter queue made for them"
        faults.add("urgent_lane", "given", allowed, QUEUE_PAGE)


def split(concurrency: float, lane: UrgentLane | None) -> Split:
    """Split a consumer's concurrency; the parts add up to it, so its downstreams see no more calls."""
    if lane is None:
        return Split(ordinary=concurrency, urgent=0)
    total = int(concurrency)
    urgent = min(max(round(total * lane.share), _LEAST), total - _LEAST)
    return Split(ordinary=total - urgent, urgent=urgent)


class Lane(Source):
    """The urgent lane of a consumer, as a subscriber of a bus or a place for an API's route to store in.

    ``orders.subscribe("Express", delivery.urgent, …)``, ``Route.post(…, store=delivery.urgent.messages())``.

    :param fifo: whether its queue keeps the order within a message group
    """

    def __init__(self, scope: Construct, construct_id: str, *, fifo: bool) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        self.name = queues.name_queue(self, fifo=fifo)
        """What its queue is called; the dead-letter queue must know it before there is one."""

    def watch(self, title: str, *, slots: float, alarm_age: float, on_call: OnCall | None) -> None:
        """Make its alarms and show it on the dashboard; its function's are those of the consumer.

        :param slots: how many invocations its queue may run at once
        :param alarm_age: seconds that its oldest message may wait
        """
        fifo = queues.facts_of(self.queue).fifo
        self.alarms = watch_lane(
            self, title, self._emitted, slots=slots, alarm_age=alarm_age, fifo=fifo, on_call=on_call
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The queues that were made for a consumer.

    :param names: what its own queue is called, and that of its urgent lane
    """

    names: tuple[str, ...]
    queue: sqs.IQueue
    dead_letter_queue: sqs.IQueue


def make_queues(scope: Construct, lane: Lane | None, *, given: GivenQueues, chosen: Chosen) -> Made:
    """Make a consumer's queue, that of its urgent lane, and the dead-letter queue that both share.

    One for both, because a message that the handler rejects goes to the one that the function knows; each
    says itself which queue it came from.
    """
    name = queues.name_queue(scope, fifo=given.fifo)
    dead_letter_queue = given.dead_letter_queue or queues.make_dead_letter_queue(
        scope,
        "DeadLetterQueue",
        source=name,
        also=() if lane is None else (lane.name,),
        fifo=given.fifo,
        encryption_key=given.encryption_key,
    )

    def make(around: Construct, called: queues.QueueName) -> sqs.Queue:
        return queues.make_queue(
            around,
            "Queue",
            name=called,
            fifo=given.fifo,
            visibility_timeout=chosen.visibility or 0,
            dead_letter_queue=dead_letter_queue,
            max_receive_count=chosen.max_receive_count,
            encryption_key=given.encryption_key,
        )

    queue = make(scope, name)
    if lane is None:
        return Made(names=(name.name,), queue=queue, dead_letter_queue=dead_letter_queue)
    lane.queue = make(lane, lane.name)
    return Made(names=(name.name, lane.name.name), queue=queue, dead_letter_queue=dead_letter_queue)


def take_all(
    consumer: MeasuredConsumer,
    lane: Lane | None,
    function: lambda_.IFunction,
    *,
    names: Sequence[str],
    dimensions: Mapping[str, str],
    is_ours: bool,
    key: kms.IKey | None,
    chosen: Chosen,
    slots: Split,
    filters: Sequence[Mapping[str, object]],
    downstreams: Sequence[Downstream],
) -> None:
    """Have both queues feed the function; while a downstream is down, neither does.

    :param names: what the queues are called, the consumer's own first
    :param dimensions: what CloudWatch knows the function by
    """
    dead_letters = None if consumer.dead_letter_queue is None else consumer.dead_letter_queue.queue_name
    for source, name, concurrency in zip(
        (consumer, lane), names, (slots.ordinary, slots.urgent), strict=False
    ):
        if source is None:
            continue
        mapping_id = source.take(
            function, is_ours=is_ours, key=key, chosen=chosen, concurrency=concurrency, filters=filters
        )
        pause_source(consumer, downstreams, mapping_id, max_concurrency=concurrency)
        source.emits(
            Emitted(
                queue_name=name,
                # Those of a lane are the consumer's, and are told of once.
                dead_letter_queue_name=dead_letters if source is consumer else None,
                mapping_id=mapping_id,
                function=dimensions,
            )
        )
