"""Queue → event source mapping, at a concurrency that the downstream can bear → function; failures → DLQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from aws_cdk import Annotations, Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.buckets import make_bucket
from resilient_constructs.downstream import Downstream
from resilient_constructs.downstream.guarding import check_circuits, circuits_of
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import settle
from resilient_constructs.resilient_function import (
    ContainerHealth,
    Handler,
    Idempotency,
    Parameter,
    Redaction,
    ResilientFunction,
    Secret,
)
from resilient_constructs.resilient_function.consuming import (
    check_filters,
    check_source,
    expected,
    read_function,
)
from resilient_constructs.resilient_function.settings import check_settings
from resilient_constructs.tokens import seconds

from .choices import choose, choose_health, warn_of
from .eviction import check_eviction, let_archive, settings_of, warn_of_eviction
from .given import read_queues, receives_of
from .lanes import Lane, UrgentLane, check_lanes, make_queues, split, take_all
from .limits import ALARM_AGE, CONFIGURE_PAGE
from .measured import MeasuredConsumer
from .watching import watch

__all__ = ["FlowControlledConsumer"]


class FlowControlledConsumer(MeasuredConsumer):
    """A queue whose messages reach a function no faster than what lies behind it can bear.

    Makes a queue, its dead-letter queue, an event source mapping that never runs more than
    ``max_concurrency`` invocations at once, the function (from a handler), its alarms and its section of the
    stack's dashboard. Messages of a batch succeed and fail one by one.

    :param handler: your code, called once per message. Give this or ``function``
    :param function: any Lambda function, an alias or a version too. It works without this package's runtime;
        to fail single messages it returns ``batchItemFailures``
    :param queue: a queue of yours. Its encryption, retention and visibility timeout stay yours. Default: a
        queue is made
    :param dead_letter_queue: where messages are given up to. Default: one is made; for a given ``queue``, the
        one of its redrive policy
    :param downstream: what the handler calls; one or several. Each is told this consumer's concurrency. While
        one with a breaker is down, this consumer's event source mapping is disabled. A given ``function``
        counts its calls itself: ``resilient_runtime.Breaker``, and ``courier.circuits.grant_use(function)``
    :param max_concurrency: how many invocations may run at once, 2 to 1,000. Default: the smallest of the
        downstreams' ``Downstream.max_concurrency`` (Little's law, rate × latency, and half as many more; a
        given ``function`` waits for no turns and gets Little's law alone); without a downstream, 10, or the
        reserved concurrency when that is smaller
    :param batch_size: messages per invocation. Default: one, so that one slot is one call under way, as
        Little's law counts, and a message's time limit is the function's timeout
    :param batching_window: how long Lambda waits to fill a batch; needed when ``batch_size`` is above 10.
        Default: it does not wait
    :param visibility_timeout: how long a received message stays hidden. Default: six times the function's
        timeout plus the window, at most 12 hours
    :param max_receive_count: receives after which a message goes to the dead-letter queue, from a handler
        with the reason of its last failure. Default: 10
    :param fifo: whether the queue made here keeps the order within a message group. Default: no
    :param encryption_key: a customer key for the queues made here. Default: keys of SQS (SSE-SQS)
    :param filters: event filter patterns; a message that matches none is **deleted** unread. Default: none
    :param timeout: how long the handler may take for a batch. Default: 30 seconds
    :param memory_size: the handler's memory in MiB. Default: that of ``ResilientFunction``
    :param ephemeral_storage_size: the size of the handler's ``/tmp`` in MB. Default: 512 MB
    :param environment: environment variables for the handler
    :param reserved_concurrency: concurrency set aside for the handler's function. Default: none is; the
        event source mapping already holds it down
    :param health: when an execution environment of the handler counts as sick, and how far its cure may go.
        Default: that of ``ResilientFunction``; with one receive only, no environment exits to be cured
    :param deadline_margin: how long before its timeout the handler is interrupted. Default: that of
        ``ResilientFunction``
    :param redact: what FAILED records hide of a message, besides what they hide always
    :param configuration: parameters and secrets that the handler reads by name
    :param idempotency: where it is remembered which messages are done, so that one that comes twice is
        handled once. Default: nothing is remembered
    :param evict_after: the age, since it was sent, at which a message is not worth doing any more: instead of
        being handled it is moved to ``archive``, whole, with a metric, an EventBridge event and an alarm.
        Default: nothing is ever too old
    :param archive: a bucket of yours to keep them in, under a prefix of this consumer. Default: one is made,
        and kept when the stack is deleted
    :param urgent_lane: a second queue before the same function, with a part of its concurrency set aside:
        ``consumer.urgent``. Default: all messages wait in one queue
    :param alarm_when_older_than: the age of the oldest message that wakes someone. Default: 15 minutes
    :param on_call: whom the alarms tell. Default: they tell nobody
    :raises ValueError: when values are impossible; all faults at once

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: Handler | None = None,
        function: lambda_.IFunction | None = None,
        queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        downstream: Downstream | Sequence[Downstream] | None = None,
        max_concurrency: int | None = None,
        batch_size: int | None = None,
        batching_window: Duration | None = None,
        visibility_timeout: Duration | None = None,
        max_receive_count: int | None = None,
        fifo: bool = False,
        encryption_key: kms.IKey | None = None,
        filters: Sequence[Mapping[str, object]] = (),
        timeout: Duration | None = None,
        memory_size: int | None = None,
        ephemeral_storage_size: int | None = None,
        environment: Mapping[str, str] | None = None,
        reserved_concurrency: int | None = None,
        health: ContainerHealth | None = None,
        deadline_margin: Duration | None = None,
        redact: Redaction | None = None,
        configuration: Sequence[Parameter | Secret] = (),
        idempotency: Idempotency | None = None,
        evict_after: Duration | None = None,
        archive: s3.IBucket | None = None,
        urgent_lane: UrgentLane | None = None,
        alarm_when_older_than: Duration | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        downstreams = (downstream,) if isinstance(downstream, Downstream) else tuple(downstream or ())
        too_old = None if evict_after is None else seconds(evict_after, default=0)
        faults = Faults(f"FlowControlledConsumer {construct_id!r}")
        check_source(
            faults,
            handler=handler,
            function=function,
            only_handlers={
                "timeout": timeout,
                "memory_size": memory_size,
                "ephemeral_storage_size": ephemeral_storage_size,
                "environment": environment,
                "reserved_concurrency": reserved_concurrency,
                "health": health,
                "deadline_margin": deadline_margin,
                "redact": redact,
                "configuration": configuration or None,
                "idempotency": idempotency,
            },
            page=CONFIGURE_PAGE,
        )
        if handler is not None:
            handler.check(faults, mode="messages")
        given = read_queues(
            faults,
            handler=handler,
            queue=queue,
            dead_letter_queue=dead_letter_queue,
            fifo=fifo,
            encryption_key=encryption_key,
            only_own={"visibility_timeout": visibility_timeout, "max_receive_count": max_receive_count},
        )
        check_circuits(faults, downstreams)
        check_filters(faults, filters)
        consuming = expected(timeout, reserved_concurrency) if function is None else read_function(function)
        chosen = choose(
            faults,
            consuming=consuming,
            given_visibility=given.visibility,
            own_queue=queue is None,
            fifo=given.fifo,
            downstreams=[
                each.unpaced_concurrency if handler is None else each.max_concurrency for each in downstreams
            ],
            max_concurrency=max_concurrency,
            batch_size=batch_size,
            window=seconds(batching_window, default=0),
            visibility=None if visibility_timeout is None else seconds(visibility_timeout, default=0),
            max_receive_count=max_receive_count,
            alarm_age=seconds(alarm_when_older_than, default=ALARM_AGE.default or 0),
        )
        check_lanes(faults, urgent_lane, chosen.concurrency, queue=queue)
        check_eviction(
            faults,
            evict_after=too_old,
            archive=archive,
            queue=queue,
            is_ours=function is None,
            window=chosen.window,
        )
        if handler is not None:
            check_settings(
                faults,
                mode="messages",
                timeout=consuming.timeout or 0,
                deadline_margin=None if deadline_margin is None else seconds(deadline_margin, default=0),
                health=health,
                redact=redact,
                configuration=configuration,
                idempotency=idempotency,
                visibility_timeout=chosen.visibility,
            )
        faults.raise_any()

        self.max_concurrency = chosen.concurrency
        """How many invocations may run at once, those of an urgent lane included."""
        self.visibility_timeout_seconds = chosen.visibility
        """How long a received message stays hidden; None where that of a given queue cannot be read."""
        self.urgent: Lane | None = None if urgent_lane is None else Lane(self, "Urgent", fifo=given.fifo)
        """The urgent lane, for buses and routes; None without ``urgent_lane``."""
        made = None if queue is not None else make_queues(self, self.urgent, given=given, chosen=chosen)
        self.queue: sqs.IQueue = made.queue if made else cast(sqs.IQueue, queue)
        """The queue that messages wait in."""
        self.dead_letter_queue: sqs.IQueue | None = (
            made.dead_letter_queue if made else given.dead_letter_queue
        )
        """Where messages are given up to; None only where a given queue has none."""
        self.archive: s3.IBucket | None = None
        """Where messages are kept that were too old to be done; None without ``evict_after``."""
        eviction = None
        if too_old is not None:
            self.archive = archive or make_bucket(self, "Archive", given.encryption_key)
            eviction = settings_of(self, self.archive, too_old)
        self.resilient_function: ResilientFunction | None = None
        """The function made from the handler, with its role and log group; None where one was given."""
        if handler is not None:
            self.resilient_function = ResilientFunction(
                self,
                "Function",
                handler=handler,
                mode="messages",
                dead_letter_queue=self.dead_letter_queue,
                downstreams=[each.settings(chosen.concurrency) for each in downstreams],
                circuits=circuits_of(downstreams),
                service=construct_id,
                timeout=timeout,
                memory_size=memory_size,
                ephemeral_storage_size=ephemeral_storage_size,
                environment=environment,
                reserved_concurrency=reserved_concurrency,
                health=choose_health(
                    health, chosen.max_receive_count if given.receives is None else given.receives
                ),
                deadline_margin=deadline_margin,
                redact=redact,
                configuration=configuration,
                idempotency=idempotency,
                urgent_queue_arn=None if self.urgent is None else self.urgent.name.arn,
                eviction=eviction,
                max_receive_count=receives_of(given, chosen.max_receive_count if queue is None else None),
                monitored=False,  # its signals are this construct's, see below
            )
            if eviction is not None and self.archive is not None:
                let_archive(self.resilient_function.role, self.archive, eviction)
        self.function: lambda_.IFunction = (
            self.resilient_function.function if self.resilient_function else cast(lambda_.IFunction, function)
        )
        """The function that consumes."""
        slots = split(chosen.concurrency, urgent_lane)
        take_all(
            self,
            self.urgent,
            self.function,
            names=made.names if made else (self.queue.queue_name,),
            dimensions=consuming.dimensions or {"FunctionName": self.function.function_name},
            is_ours=handler is not None,
            key=given.encryption_key,
            chosen=chosen,
            slots=slots,
            filters=filters,
            downstreams=downstreams,
        )
        for each in downstreams:
            each.register(self, chosen.concurrency, is_paced=handler is not None, timeout=consuming.timeout)
        warned = warn_of(chosen, consuming, has_dead_letter_queue=self.dead_letter_queue is not None)
        for warning in (*warned, *warn_of_eviction(chosen, too_old)):
            Annotations.of(self).add_warning_v2(
                f"resilient:FlowControlledConsumer/{warning.slug}", warning.text
            )
        self.alarms = watch(
            self,
            construct_id,
            self._emitted,
            chosen=chosen,
            slots=slots.ordinary,
            timeout=consuming.timeout,
            ours=self.resilient_function,
            evicts=eviction is not None,
            downstreams=downstreams,
            on_call=on_call,
        )
        if self.urgent is not None and urgent_lane is not None:
            self.urgent.watch(
                f"{construct_id}, urgent",
                slots=slots.urgent,
                alarm_age=urgent_lane.alarm_age,
                on_call=on_call,
            )
