"""The wiring of ``ResilientFunction``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from resilient_runtime.settings import DownstreamSettings, EvictionSettings, Mode, Settings, StreamSettings

from resilient_constructs.assets import function_asset, target_for
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import Signal, monitor
from resilient_constructs.places import path_of, settle
from resilient_constructs.queues import make_undelivered_queue
from resilient_constructs.runtime_layer import RuntimeLayer
from resilient_constructs.tokens import seconds

from .checks import (
    check_asynchronous,
    check_circuits,
    check_environment,
    check_messages_only,
    check_mode,
    check_runtime,
)
from .code import code_of, code_of_runtime
from .configuration import Parameter, Secret, entries_of, grant_reading
from .defaults import default_architecture, default_runtime, default_timeout, lambda_service, megabytes
from .granting import grant_sending, let_update_itself
from .handler import Handler
from .health import ContainerHealth
from .health_signals import full_above
from .idempotency import Idempotency, grant_remembering, make_table
from .limits import (
    EPHEMERAL_STORAGE,
    LAYERS,
    LOGS_PAGE,
    MAX_EVENT_AGE,
    MEMORY,
    RESERVED_CONCURRENCY,
    RETRY_ATTEMPTS,
    TIMEOUT,
)
from .measured import MeasuredFunction
from .redaction import Redaction
from .settings import check_settings, is_repeated
from .settings_signals import settings_panels, settings_signals
from .signals import async_signals, function_section, function_signals

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_dynamodb as dynamodb

    from resilient_constructs.downstream import Circuits
    from resilient_constructs.monitoring import OnCall

__all__ = ["ResilientFunction"]

_ENTRY_POINT = "resilient_runtime.entry.handler"
# The newest that Lambda manages. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_RUNTIME = "python3.14"
_ARCHITECTURE = "arm64"


class ResilientFunction(MeasuredFunction):
    """A Lambda function that runs a handler through our universal entry point, with its alarms.

    The user's code is not touched: its name stands in the environment, and the entry point in a layer calls
    it, writes STARTED / COMPLETED / FAILED records, carries the correlation id, answers SQS batches message
    by message, interrupts the handler before Lambda would end it, and watches over the execution environment:
    one that fills up (descriptors, memory, ``/tmp``, threads) is cleaned up or recycled. Tracing is on, logs
    are JSON in a log group of the function's own, and its role may write that log, send traces, and nothing
    else until something is granted.

    https://docs.aws.amazon.com/lambda/latest/dg/welcome.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: Handler,
        mode: Mode = "event",
        dead_letter_queue: sqs.IQueue | None = None,
        downstreams: Sequence[DownstreamSettings] = (),
        circuits: Circuits | None = None,
        service: str | None = None,
        timeout: Duration | None = None,
        memory_size: float | None = None,
        ephemeral_storage_size: float | None = None,
        architecture: lambda_.Architecture | None = None,
        runtime: lambda_.Runtime | None = None,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[lambda_.ILayerVersion] = (),
        reserved_concurrency: float | None = None,
        health: ContainerHealth | None = None,
        deadline_margin: Duration | None = None,
        redact: Redaction | None = None,
        configuration: Sequence[Parameter | Secret] = (),
        idempotency: Idempotency | None = None,
        urgent_queue_arn: str | None = None,
        max_receive_count: int | None = None,
        eviction: EvictionSettings | None = None,
        stream: StreamSettings | None = None,
        asynchronous: bool = False,
        retry_attempts: float | None = None,
        max_event_age: Duration | None = None,
        on_failure: lambda_.IDestination | None = None,
        role: iam.IRole | None = None,
        log_group: logs.ILogGroup | None = None,
        log_retention: logs.RetentionDays | None = None,
        description: str | None = None,
        on_call: OnCall | None = None,
        monitored: bool = True,
    ) -> None:
        """Make the function.

        :param handler: the user's code
        :param mode: ``event`` calls it once per invocation with (event, context); ``messages`` once per
            message of an SQS batch with (body, call); ``records`` once per record of a stream
        :param dead_letter_queue: where a rejected message goes; required in mode ``messages``
        :param downstreams: the boundaries that the handler may cross
        :param circuits: where the circuits of downstreams with a breaker are shared: ``courier.circuits``
        :param service: how logs and metrics call this function. Default: the construct ID
        :param timeout: 1 second to 15 minutes. Default: 30 seconds
        :param memory_size: 128 to 10,240 MB, and processor time in proportion. Default: 256 MB
        :param ephemeral_storage_size: the size of ``/tmp``, 512 to 10,240 MB. Default: 512 MB
        :param architecture: the processor, for the dependencies' wheels too. Default: arm64
        :param runtime: which Python. Default: 3.14
        :param environment: further environment variables; names that start with ``RESILIENT_`` are ours
        :param layers: up to four layers besides the runtime's own
        :param reserved_concurrency: environments kept for this function, and its cap. Default: it shares the
            account's
        :param health: when an execution environment counts as sick, and how far its cure may go. Default: at
            half of the headroom it is cleaned up, re-executed, and ended where the source repeats the call
        :param deadline_margin: how long before its timeout the handler is interrupted (``DeadlineExceeded``),
            so that there is time to tell what it was doing; ``Duration.seconds(0)`` never interrupts it.
            Default: a second or a tenth of the timeout, whichever is shorter, and at least 200 ms
        :param redact: what FAILED records hide of an event, besides what they hide always
        :param configuration: parameters and secrets that the handler reads by name, loaded when an
            environment starts and refreshed in the background; the role may read exactly these
        :param idempotency: not in mode ``event``: where it is remembered which messages are done, so that one
            that comes twice is handled once. Default: nothing is remembered
        :param urgent_queue_arn: in mode ``messages``, the queue whose messages are told as the urgent
            lane's. Default: there is one lane only
        :param max_receive_count: in mode ``messages``, after how many receives its queue gives a message up:
            one that fails in the last of them goes to the dead-letter queue with its reason. Default: nobody
            knows, and SQS moves it there as it is
        :param eviction: in mode ``messages``, from which age a message is archived instead of handled; who
            says so lets the role put it there. Default: none is too old
        :param stream: in mode ``records``, where poison is kept; who says so lets the role keep it there
        :param asynchronous: whether it is invoked asynchronously (EventBridge, SNS, S3): events that fail for
            good then go to ``on_failure_queue``. Default: no
        :param retry_attempts: for asynchronous events, 0 to 2. Default: two
        :param max_event_age: for asynchronous events, 1 minute to 6 hours. Default: six hours
        :param on_failure: another destination for asynchronous events that failed for good
        :param role: an execution role of your own; it still gets what the function needs. Default: a new one
        :param log_group: a log group of your own. Default: a new one, kept when the stack is deleted
        :param log_retention: how long logs are kept. Default: one month
        :param description: what it does, for the console
        :param on_call: who is told of its alarms. Default: nobody, and the alarms exist all the same
        :param monitored: whether it makes its own alarms and its section of the dashboard. Default: yes
        :raises ValueError: for everything in these that Lambda would refuse, all at once
        :raises AssetError: when the code or its dependencies cannot be packed
        """
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        # a consumer's function is always called "Function"; its path says whose it is
        owner = f"ResilientFunction {path_of(self, construct_id)!r}"
        self.timeout_seconds = seconds(timeout, default=TIMEOUT.default or 0)
        """The timeout in seconds; a number token where it is only known at deploy."""
        self.reserved_concurrency = reserved_concurrency
        """The environments kept for this function, and its cap; None where it shares the account's."""
        self.deadline_margin = None if deadline_margin is None else seconds(deadline_margin, default=0)
        """Seconds before the timeout at which the handler is interrupted; None where that was not said."""
        health = health or ContainerHealth()
        age = seconds(max_event_age, default=MAX_EVENT_AGE.default or 0)
        python = _RUNTIME if runtime is None else runtime.name

        faults = Faults(owner)
        handler.check(faults, mode=mode, python=python.removeprefix("python"))
        faults.check(TIMEOUT, self.timeout_seconds)
        faults.check(MEMORY, memory_size)
        faults.check(EPHEMERAL_STORAGE, ephemeral_storage_size)
        faults.check(RESERVED_CONCURRENCY, reserved_concurrency)
        faults.check(RETRY_ATTEMPTS, retry_attempts)
        faults.check(MAX_EVENT_AGE, age)
        faults.check(LAYERS, len(layers))
        check_runtime(faults, python)
        check_settings(
            faults,
            mode=mode,
            timeout=self.timeout_seconds,
            deadline_margin=self.deadline_margin,
            health=health,
            redact=redact,
            configuration=configuration,
            idempotency=idempotency,
        )
        check_mode(faults, mode, dead_letter_queue, stream, asynchronous=asynchronous)
        check_circuits(faults, downstreams, has_circuits=circuits is not None)
        only_messages = {"eviction": eviction, "urgent_queue_arn": urgent_queue_arn}
        check_messages_only(faults, mode, {**only_messages, "max_receive_count": max_receive_count})
        if not asynchronous:
            check_asynchronous(
                faults, retry_attempts=retry_attempts, max_event_age=max_event_age, on_failure=on_failure
            )
        if log_group is not None and log_retention is not None:
            faults.add("log_retention", log_retention.name, "None beside your own log_group", LOGS_PAGE)
        settings = Settings(
            handler=handler.entry,
            mode=mode,
            service=service or construct_id,
            dead_letter_queue_url=None if dead_letter_queue is None else dead_letter_queue.queue_url,
            downstreams=tuple(downstreams),
            deadline_margin=self.deadline_margin,
            health=health.settings(
                retried=is_repeated(mode, asynchronous=asynchronous, retry_attempts=retry_attempts)
            ),
            redaction=(redact or Redaction()).settings(),
            configuration=entries_of(configuration),
            idempotency=None if idempotency is None else idempotency.settings(""),
            circuits_table=None if circuits is None else circuits.table_name,
            urgent_queue_arn=urgent_queue_arn,
            eviction=eviction,
            stream=stream,
            max_receive_count=max_receive_count,
        )
        check_environment(faults, environment or {}, settings.to_env())
        faults.raise_any()

        self.full = full_above(health.threshold)
        """Percent of Lambda's limits from which the dashboard and the alarm call an environment full."""
        machine = _ARCHITECTURE if architecture is None else architecture.name
        packed = None
        if handler.directory is not None:
            packed = function_asset(
                handler.directory,
                owner=owner,
                target=target_for(python.removeprefix("python"), machine),
                exclude=handler.exclude,
            )
        self.log_group: logs.ILogGroup = log_group or logs.LogGroup(
            self, "LogGroup", retention=log_retention or logs.RetentionDays.ONE_MONTH
        )
        """Where the function writes."""
        self.role: iam.IRole = role or iam.Role(
            self,
            "Role",
            assumed_by=lambda_service(),
            managed_policies=None if circuits is None else [circuits.use_policy],
        )
        """What the function may do."""
        # Not the AWS managed policy: it allows writing to every log group of the account.
        self.log_group.grant_write(self.role)
        self.on_failure_queue: sqs.Queue | None = None
        """Where asynchronous events go that failed for good; None where there are none or it is not ours."""
        if asynchronous and on_failure is None:
            self.on_failure_queue = make_undelivered_queue(self, "OnFailureQueue", encryption_key=None)
            on_failure = destinations.SqsDestination(self.on_failure_queue)
        self.idempotency_table: dynamodb.ITable | None = None
        """Where it is remembered which messages are done; None where nothing is."""
        if idempotency is not None:
            self.idempotency_table = idempotency.table or make_table(self)
            settings = settings._replace(idempotency=idempotency.settings(self.idempotency_table.table_name))
            grant_remembering(self.idempotency_table, self.role)
        if circuits is not None and role is not None:
            circuits.grant_use(role)
        if configuration:
            grant_reading(configuration, self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            code=code_of_runtime() if packed is None else code_of(self, packed),
            handler=_ENTRY_POINT,
            runtime=runtime or default_runtime(),
            architecture=architecture or default_architecture(),
            layers=[RuntimeLayer.of(self), *layers],
            timeout=timeout or default_timeout(),
            memory_size=MEMORY.default if memory_size is None else memory_size,
            ephemeral_storage_size=megabytes(ephemeral_storage_size),
            environment={**(environment or {}), **settings.to_env(), **handler.told},
            reserved_concurrent_executions=reserved_concurrency,
            description=description,
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
            retry_attempts=retry_attempts,
            max_event_age=max_event_age,
            on_failure=on_failure,
        )
        """The function itself."""
        if dead_letter_queue is not None:
            grant_sending(dead_letter_queue, self.role)
        if health.update_function:
            let_update_itself(self, self.role, self.function)
        self.may_refuse = any(each.may_refuse for each in downstreams)
        """Whether work that began may be put off, because a circuit is open or a turn is too far off."""
        self.configured = bool(configuration)
        """Whether it reads parameters or secrets."""
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = {}
        """The alarms by the name of their signal; empty where ``monitored=False``."""
        if monitored:
            self.alarms = self._monitor(construct_id, asynchronous, age, on_call)

    def _monitor(
        self, title: str, asynchronous: bool, max_event_age: float, on_call: OnCall | None
    ) -> Mapping[str, cloudwatch.CfnAlarm]:
        name = self.function.function_name
        signals: tuple[Signal, ...] = function_signals(
            function_name=name,
            timeout_seconds=self.timeout_seconds,
            concurrency_limit=self.reserved_concurrency,
            deadline_margin=self.deadline_margin,
            full=self.full,
            may_refuse=self.may_refuse,
        )
        remembers = self.idempotency_table is not None
        signals += settings_signals(name, configured=self.configured, remembers=remembers)
        if asynchronous:
            queue = self.on_failure_queue
            signals += async_signals(
                function_name=name,
                on_failure_queue_name=None if queue is None else queue.queue_name,
                max_event_age_seconds=max_event_age,
            )
        section = function_section(
            title=title,
            function_name=name,
            timeout_seconds=self.timeout_seconds,
            concurrency_limit=self.reserved_concurrency,
            log_group=self.log_group,
            full=self.full,
        )
        more = settings_panels(name, configured=self.configured, remembers=remembers)
        section = replace(section, panels=section.panels + more)
        return monitor(self, signals=signals, section=section, on_call=on_call)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow someone to invoke the function."""
        return self.function.grant_invoke(grantee)

    def add_to_role_policy(self, statement: iam.PolicyStatement) -> None:
        """Allow the function something more."""
        self.function.add_to_role_policy(statement)

    def add_environment(self, key: str, value: str) -> None:
        """Set one more environment variable.

        :raises ValueError: when the name is ours or Lambda's
        """
        faults = Faults("ResilientFunction")
        check_environment(faults, {key: value}, {})
        faults.raise_any()
        self.function.add_environment(key, value)
