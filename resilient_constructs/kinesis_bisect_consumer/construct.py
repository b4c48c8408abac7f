"""Stream → mapping that halves what fails → function; poison → store; what Lambda gives up → resolver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, cast

from aws_cdk import Annotations, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.downstream import Downstream, pause_source
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
    check_source,
    expected,
    filter_criteria,
    read_function,
)
from resilient_constructs.resilient_function.settings import check_settings
from resilient_constructs.tokens import seconds

from .choices import OnPoison, choose, choose_concurrency, choose_health, choose_start, warn_of
from .emitted import Emitted
from .kinds import check_kinds
from .limits import KINESIS_PAGE, TIMEOUT_DEFAULT
from .measured import MeasuredStreamConsumer
from .resolver import Resolver
from .source import Source, let_consume, let_given_consume, make_stream, read_source
from .store import check_store, make_store
from .watching import watch

__all__ = ["KinesisBisectConsumer"]


class KinesisBisectConsumer(MeasuredStreamConsumer):
    """A stream that is never stuck and never sheds good records.

    Makes a stream, an event source mapping that halves what fails, the function (from a handler), a poison
    store for records that cannot be done, a resolver for those that a dying process took with it, alarms and
    a section of the stack's dashboard. The handler is called once per record, in the order of each partition
    key.

    A record that fails again, alone, although others succeed, is poison: it is stored whole before the
    checkpoint passes it. While the downstream is down nothing is poison; the mapping is paused, and the
    records wait.

    :param handler: your code, ``f(data, call)``, called once per record; with ``per_batch``, of a list. Give
        this or ``function``
    :param function: any Lambda function, an alias or a version too. Without this package's runtime the
        mapping alone tells poison from good records: it halves, tries twice, and the resolver fetches what
        failed. So an outage is not told from poison, and no key is parked
    :param stream: a Kinesis stream of yours. Default: one is made, and kept when the stack is deleted
    :param table: a DynamoDB table whose stream is read instead
    :param shards: how many shards the stream made here has. Default: it is on demand
    :param retention: how long the stream made here keeps a record, 24 hours to a year; of an imported stream,
        how long it does. Default: 72 hours, so that what fails on a Friday is there on Monday
    :param shard_metrics: whether the stream made here tells each shard's traffic and lag, for money. Default:
        no
    :param enhanced_fan_out: whether the consumer reads with a throughput of its own, for money. Default: it
        shares the shards' two megabytes a second with other readers
    :param encryption_key: a customer key for what is made here: stream, queues, bucket. Default: keys of AWS
    :param downstream: what the handler calls; one or several. While one with a breaker is down, the mapping
        is disabled. Where shards and batches at once may be more than it bears, so much concurrency is
        reserved
    :param batch_size: records per invocation, 1 to 10,000. Default: 100
    :param batching_window: how long Lambda waits to fill a batch, up to 5 minutes. Default: it does not wait
    :param parallelization_factor: batches of one shard at once, 1 to 10; keys keep their order. Default: one
    :param starting_position: where reading begins when the mapping is made; a ``datetime`` begins at that
        time. Default: the oldest record, because ``LATEST`` passes what comes in before the mapping is ready
    :param retry_attempts: how often Lambda tries a record again, alone, whose process died. Default: once
    :param max_record_age: from which age Lambda gives records up to the poison store, so that they do not
        expire unseen. Default: seven eighths of the retention, at most 7 days
    :param filters: event filter patterns; a record that matches none is passed unread. Default: none
    :param on_poison: whether the stream goes on past poison, or parks the later records of its key behind it
        until it is replayed or discarded. Default: it goes on
    :param per_batch: whether the handler gets all records of a batch at once, as a list. Default: one by one
    :param poison_queue: a standard queue of yours for poison, and for no other consumer's. Default: one is
        made
    :param poison_bucket: a bucket of yours for poison that a message cannot hold. Default: one is made, and
        kept when the stack is deleted
    :param parked_keys: a table of yours with the partition key ``name``, a string, and for no other
        consumer's keys. Default: with ``on_poison="park"`` one is made
    :param timeout: how long the handler may take for a batch. Default: 60 seconds, so that an outage is
        waited for in place until the breaker has opened and the mapping is paused
    :param memory_size: the handler's memory in MiB, 128 to 10,240. Default: 256 MiB
    :param ephemeral_storage_size: the size of the handler's ``/tmp`` in MB. Default: 512 MB
    :param environment: further environment variables for the handler; names that start with ``RESILIENT_``
        are ours. Default: none
    :param reserved_concurrency: concurrency set aside for the handler's function, and its cap. Default: what
        the downstream bears, where shards and batches at once may be more or are not known; else none
    :param health: when an execution environment counts as sick, and how far its cure may go. Default: at half
        of the headroom it is cleaned up, re-executed, and ended; not ended with ``retry_attempts=0``, where
        that would be a record's only try
    :param deadline_margin: how long before the timeout the handler is interrupted (``DeadlineExceeded``), and
        no further record begun: what is left of the batch comes again. ``Duration.seconds(0)`` never
        interrupts. Default: a second or a tenth of the timeout, whichever is shorter, and at least 200 ms
    :param redact: what FAILED records and the poison store's errors hide, besides what they hide always.
        Poison itself is kept whole. Default: nothing more
    :param configuration: parameters and secrets that the handler reads by name, loaded when an environment
        starts and refreshed in the background; the role may read exactly these. Default: none
    :param idempotency: where it is remembered which records are done. Default: nothing is remembered
    :param alarm_when_older_than: the age of a record, and the time without reading, that wakes someone.
        Default: a third of the retention, so that another third is left even when both come together
    :param on_call: whom the alarms tell. Default: they tell nobody
    :raises ValueError: when values are impossible; all faults at once

    https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: Handler | None = None,
        function: lambda_.IFunction | None = None,
        stream: kinesis.IStream | None = None,
        table: dynamodb.ITable | None = None,
        shards: int | None = None,
        retention: Duration | None = None,
        shard_metrics: bool = False,
        enhanced_fan_out: bool = False,
        encryption_key: kms.IKey | None = None,
        downstream: Downstream | Sequence[Downstream] | None = None,
        batch_size: int | None = None,
        batching_window: Duration | None = None,
        parallelization_factor: int | None = None,
        starting_position: lambda_.StartingPosition | datetime = lambda_.StartingPosition.TRIM_HORIZON,
        retry_attempts: int | None = None,
        max_record_age: Duration | None = None,
        filters: Sequence[Mapping[str, object]] = (),
        on_poison: OnPoison | Literal["continue", "park"] = OnPoison.CONTINUE,
        per_batch: bool = False,
        poison_queue: sqs.IQueue | None = None,
        poison_bucket: s3.IBucket | None = None,
        parked_keys: dynamodb.ITable | None = None,
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
        given = locals()  # the arguments by name, as long as nothing else is bound
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        faults = Faults(f"KinesisBisectConsumer {construct_id!r}")
        check_kinds(faults, given)
        # What is of the wrong kind cannot be held against anything else.
        faults.raise_any()
        downstreams = (downstream,) if isinstance(downstream, Downstream) else tuple(downstream or ())
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
                "per_batch": per_batch or None,
                "on_poison": None if on_poison == OnPoison.CONTINUE else str(on_poison),
            },
            page=KINESIS_PAGE,
        )
        if handler is not None:
            handler.check(faults, mode="records")
        check_circuits(faults, downstreams)
        facts = read_source(
            faults,
            stream=stream,
            table=table,
            shards=shards,
            retention=retention,
            shard_metrics=shard_metrics,
            enhanced_fan_out=enhanced_fan_out,
        )
        check_store(faults, self, on_poison=on_poison, poison_queue=poison_queue, parked_keys=parked_keys)
        timeout = timeout or (Duration.seconds(TIMEOUT_DEFAULT) if function is None else None)
        consuming = expected(timeout, reserved_concurrency) if function is None else read_function(function)
        chosen = choose(
            faults,
            consuming=consuming,
            retention=facts.retention,
            batch_size=batch_size,
            window=seconds(batching_window, default=0),
            parallelization=parallelization_factor,
            retry_attempts=retry_attempts,
            max_record_age=None if max_record_age is None else seconds(max_record_age, default=0),
            alarm_age=None if alarm_when_older_than is None else seconds(alarm_when_older_than, default=0),
        )
        start = choose_start(faults, starting_position, is_table=facts.is_table)
        concurrency = choose_concurrency(
            faults,
            consuming=consuming,
            shards=facts.shards,
            parallelization=chosen.parallelization,
            downstreams=[
                each.unpaced_concurrency if handler is None else each.max_concurrency for each in downstreams
            ],
            is_ours=function is None,
        )
        if handler is not None:
            check_settings(
                faults,
                mode="records",
                timeout=consuming.timeout or 0,
                deadline_margin=None if deadline_margin is None else seconds(deadline_margin, default=0),
                health=health,
                redact=redact,
                configuration=configuration,
                idempotency=idempotency,
            )
        faults.raise_any()

        self.max_concurrency = concurrency.most
        """How many invocations may run at once; None where nobody knows, and nobody is called."""
        self.stream: kinesis.IStream | None = stream
        """The stream; None where a table's is read."""
        if stream is None and table is None:
            self.stream = make_stream(self, facts, shard_metrics=shard_metrics, encryption_key=encryption_key)
        self.table: dynamodb.ITable | None = table
        """The table whose stream is read; None where it is a Kinesis stream."""
        key = stream.encryption_key if stream is not None else encryption_key
        source = Source(self, stream=self.stream, table=table, key=key, enhanced_fan_out=enhanced_fan_out)
        self._source = source
        self.stream_consumer = source.consumer
        """The registered consumer of enhanced fan-out; None without it."""
        store = make_store(
            self,
            on_poison=on_poison,
            queue=poison_queue,
            bucket=poison_bucket,
            parked_keys=parked_keys,
            encryption_key=encryption_key,
        )
        self._store = store
        self.poison_queue: sqs.IQueue = store.queue
        """Where poison records are, whole; ``resilient poison list`` shows them."""
        self.poison_bucket: s3.IBucket = store.bucket
        """Where those are that a message cannot hold."""
        self.parked_keys: dynamodb.ITable | None = store.parked_keys
        """Which partition keys wait for a poison record of theirs; None where the stream goes on."""
        self.resolver = Resolver(
            self, "Resolver", service=construct_id, source=source, store=store, encryption_key=encryption_key
        )
        """What fetches the records that Lambda gave up."""
        self.discarded_queue: sqs.IQueue = self.resolver.queue
        """Where Lambda tells which records it gave up; the resolver empties it."""
        self.resilient_function: ResilientFunction | None = None
        """The function made from the handler, with its role and log group; None where one was given."""
        if handler is not None:
            self.resilient_function = ResilientFunction(
                self,
                "Function",
                handler=handler,
                mode="records",
                stream=store.settings._replace(per_batch=per_batch),
                downstreams=[each.settings(concurrency.most or 1) for each in downstreams],
                circuits=circuits_of(downstreams),
                service=construct_id,
                timeout=timeout,
                memory_size=memory_size,
                ephemeral_storage_size=ephemeral_storage_size,
                environment=environment,
                reserved_concurrency=concurrency.reserved,
                health=choose_health(health, chosen.retry_attempts),
                deadline_margin=deadline_margin,
                redact=redact,
                configuration=configuration,
                idempotency=idempotency,
                monitored=False,  # its signals are this construct's, see below
            )
            store.let_keep(self.resilient_function.role)
            store.let_park(self.resilient_function.role)
        self.function: lambda_.IFunction = (
            self.resilient_function.function if self.resilient_function else cast(lambda_.IFunction, function)
        )
        """The function that consumes."""
        grants = (
            let_consume(self.resilient_function.role, source, self.discarded_queue)
            if self.resilient_function
            else let_given_consume(self, self.function, source, self.discarded_queue)
        )
        self.event_source_mapping = lambda_.CfnEventSourceMapping(
            self,
            "EventSourceMapping",
            event_source_arn=source.read_from,
            function_name=(
                self.function if isinstance(self.function, lambda_.Function) else self.function.function_arn
            ),
            batch_size=chosen.batch_size,
            maximum_batching_window_in_seconds=chosen.window or None,
            parallelization_factor=chosen.parallelization,
            starting_position=start.position,
            starting_position_timestamp=start.timestamp,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=chosen.retry_attempts,
            maximum_record_age_in_seconds=chosen.max_record_age,
            destination_config={"onFailure": {"destination": self.discarded_queue.queue_arn}},
            function_response_types=["ReportBatchItemFailures"],
            metrics_config={"metrics": ["EventCount"]},
            filter_criteria=filter_criteria(filters),
        )
        """What reads the stream and invokes the function."""
        if handler is None:
            # a function of ours stands after its own policy; a given one's policy may stand anywhere
            for grant in grants:
                grant.apply_before(self.event_source_mapping)
        mapping_id = self.event_source_mapping.ref
        pause_source(
            self, downstreams, mapping_id, max_concurrency=None, retry_attempts=chosen.retry_attempts
        )
        for each in downstreams:
            each.register(
                self, concurrency.most or 1, is_paced=handler is not None, timeout=consuming.timeout
            )
        warned = warn_of(
            tells_retention=facts.tells_retention,
            guarded=circuits_of(downstreams) is not None,
            calls=bool(downstreams),
            retry_attempts=chosen.retry_attempts,
            timeout=consuming.timeout,
        )
        for slug, text in warned.items():
            Annotations.of(self).add_warning_v2(f"resilient:KinesisBisectConsumer/{slug}", text)
        self._emitted = Emitted(
            function=consuming.dimensions or {"FunctionName": self.function.function_name},
            mapping_id=mapping_id,
            stream_name=source.stream_name,
            poison_queue_name=self.poison_queue.queue_name,
            discarded_queue_name=self.resolver.queue_name,
            unresolved_queue_name=self.resolver.dead_letter_queue_name,
            resolver_name=self.resolver.function.function_name,
        )
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = watch(
            self,
            construct_id,
            self._emitted,
            chosen=chosen,
            concurrency=concurrency,
            shards=facts.shards,
            shard_metrics=shard_metrics,
            per_batch=per_batch,
            timeout=consuming.timeout,
            ours=self.resilient_function,
            resolver_log_group=self.resolver.log_group,
            downstreams=downstreams,
            on_call=on_call,
        )
        """The alarms by signal: ``RecordAge``, ``StuckShard`` …"""
