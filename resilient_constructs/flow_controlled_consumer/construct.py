"""Queue → event source mapping, at a concurrency that the downstream can bear → function; failures → DLQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from aws_cdk import Annotations, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import queues
from resilient_constructs.downstream import Downstream, pause_source
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall, monitor
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
from resilient_constructs.resilient_function.settings import check_settings
from resilient_constructs.stores import QueueStore
from resilient_constructs.tokens import seconds

from . import choices
from .consuming import (
    expected,
    let_poll,
    read_function,
    read_redrive,
    read_visibility,
)
from .limits import ALARM_AGE
from .measured import MeasuredConsumer
from .signals import Emitted, downstream_section
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
    :param max_receive_count: receives after which a message goes to the dead-letter queue. Default: 10
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
        alarm_when_older_than: Duration | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        downstreams = (downstream,) if isinstance(downstream, Downstream) else tuple(downstream or ())
        faults = Faults(f"FlowControlledConsumer {construct_id!r}")
        redrive: sqs.DeadLetterQueue | None = None
        choices.check_source(
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
        )
        if handler is not None:
            handler.check(faults, mode="messages")
        if queue is not None:
            choices.check_given_queue(
                faults,
                ignored={
                    "visibility_timeout": visibility_timeout,
                    "max_receive_count": max_receive_count,
                    "fifo": fifo or None,
                    "encryption_key": encryption_key,
                },
            )
            fifo = queue.fifo
            encryption_key = queues.facts_of(queue).key
            redrive = read_redrive(queue)
            dead_letter_queue = dead_letter_queue or (None if redrive is None else redrive.queue)
            choices.check_dead_letters(faults, handler, dead_letter_queue)
        elif dead_letter_queue is not None:
            choices.check_kind(faults, fifo=fifo, dead_letters_fifo=queues.facts_of(dead_letter_queue).fifo)
        choices.check_circuits(faults, downstreams)
        consuming = expected(timeout, reserved_concurrency) if function is None else read_function(function)
        chosen = choices.choose(
            faults,
            consuming=consuming,
            given_visibility=None if queue is None else read_visibility(queue),
            own_queue=queue is None,
            fifo=fifo,
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
        """How many invocations may run at once."""
        self.visibility_timeout_seconds = chosen.visibility
        """How long a received message stays hidden; None where that of a given queue cannot be read."""
        queue_name = None
        if queue is None:
            name = queues.name_queue(self, fifo=fifo)
            dead_letter_queue = dead_letter_queue or queues.make_dead_letter_queue(
                self, "DeadLetterQueue", source=name, fifo=fifo, encryption_key=encryption_key
            )
            queue = queues.make_queue(
                self,
                "Queue",
                name=name,
                fifo=fifo,
                visibility_timeout=chosen.visibility or 0,
                dead_letter_queue=dead_letter_queue,
                max_receive_count=chosen.max_receive_count,
                encryption_key=encryption_key,
            )
            queue_name = name.name
        self.queue: sqs.IQueue = queue
        """The queue that messages wait in."""
        self.dead_letter_queue: sqs.IQueue | None = dead_letter_queue
        """Where messages are given up to; None only where a given queue has none."""
        self.resilient_function: ResilientFunction | None = None
        """The function made from the handler, with its role and log group; None where one was given."""
        if handler is not None:
            self.resilient_function = ResilientFunction(
                self,
                "Function",
                handler=handler,
                mode="messages",
                dead_letter_queue=dead_letter_queue,
                downstreams=[each.settings(chosen.concurrency) for each in downstreams],
                circuits=choices.circuits_of(downstreams),
                service=construct_id,
                timeout=timeout,
                memory_size=memory_size,
                ephemeral_storage_size=ephemeral_storage_size,
                environment=environment,
                reserved_concurrency=reserved_concurrency,
                health=choices.choose_health(
                    health, chosen.max_receive_count if redrive is None else redrive.max_receive_count
                ),
                deadline_margin=deadline_margin,
                redact=redact,
                configuration=configuration,
                idempotency=idempotency,
                monitored=False,  # its signals are this construct's, see below
            )
        self.function: lambda_.IFunction = (
            self.resilient_function.function if self.resilient_function else cast(lambda_.IFunction, function)
        )
        """The function that consumes."""

        grants = let_poll(self, self.function, queue, encryption_key, given=function is not None)
        self.event_source_mapping = lambda_.CfnEventSourceMapping(
            self,
            "EventSourceMapping",
            event_source_arn=queue,
            function_name=self.function
            if isinstance(self.function, lambda_.Function)
            else self.function.function_arn,
            batch_size=chosen.batch_size,
            maximum_batching_window_in_seconds=chosen.window or None,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximumConcurrency": chosen.concurrency},
            metrics_config={"metrics": ["EventCount"]},
            filter_criteria=choices.filter_criteria(filters),
        )
        """What takes messages from the queue and invokes the function."""
        if function is not None:
            # a function of ours stands after its own policy; a given one's policy may stand anywhere
            for grant in grants:
                grant.apply_before(self.event_source_mapping)
        mapping_id = self.event_source_mapping.ref
        pause_source(self, downstreams, mapping_id, max_concurrency=chosen.concurrency)
        for each in downstreams:
            each.register(self, chosen.concurrency, is_paced=handler is not None, timeout=consuming.timeout)
        warned = choices.warn_of(chosen, consuming, has_dead_letter_queue=dead_letter_queue is not None)
        for warning in warned:
            Annotations.of(self).add_warning_v2(
                f"resilient:FlowControlledConsumer/{warning.slug}", warning.text
            )
        self._emitted = Emitted(
            queue_name=queue_name or queue.queue_name,
            dead_letter_queue_name=None if dead_letter_queue is None else dead_letter_queue.queue_name,
            mapping_id=mapping_id,
            function=consuming.dimensions or {"FunctionName": self.function.function_name},
        )
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = watch(
            self,
            construct_id,
            self._emitted,
            chosen=chosen,
            timeout=consuming.timeout,
            ours=self.resilient_function,
            on_call=on_call,
        )
        """The alarms by signal: ``OldestMessageAge``, ``DeadLetters``, ``FailingMessages`` …"""
        for each in downstreams if self.resilient_function is not None else ():
            section = downstream_section(
                f"{construct_id} → {each.name}",
                downstream=each.name,
                function_name=self._emitted.function["FunctionName"],
            )
            monitor(self, signals=(), section=section, on_call=None)

    def messages(self, *, message_group: str | None = None, deduplicate_by: str | None = None) -> QueueStore:
        """This consumer's queue as a place for an API route to store what it accepts.

        :param message_group: for a FIFO queue, the top-level body property whose value is the message group
        :param deduplicate_by: for a FIFO queue, the top-level body property whose value is the deduplication
            ID. Default: the request ID, so that nothing is dropped
        """
        return QueueStore(queue=self.queue, message_group=message_group, deduplicate_by=deduplicate_by)

    def grant_send_messages(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` send messages, and use the queue's customer key for it; nothing else.

        The CDK's own method of this name lets it look up the queue's URL and attributes as well.
        """
        self.queue.grant(grantee, "sqs:SendMessage")
        key = queues.facts_of(self.queue).key
        if key is not None:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
            key.grant(grantee, "kms:Decrypt", "kms:GenerateDataKey")
