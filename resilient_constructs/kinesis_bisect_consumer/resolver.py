"""On-failure queue → function that fetches what Lambda gave up → poison store; what it cannot → DLQ."""

from __future__ import annotations

from functools import cache

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct
from resilient_runtime.settings import Settings

from resilient_constructs import queues
from resilient_constructs.places import settle
from resilient_constructs.resilient_function.defaults import (
    default_architecture,
    default_runtime,
    lambda_service,
)
from resilient_constructs.resilient_function.granting import grant_sending
from resilient_constructs.runtime_layer import RuntimeLayer

from .source import Source
from .store import PoisonStore

__all__ = ["Resolver"]

_CODE = "from resilient_runtime.entry import handler  # noqa: F401\n"
_HANDLER = "resilient_runtime.resolving.resolve"
# A batch of ten thousand records is kept one by one; nothing is paid for what it does not use.
_TIMEOUT = 900
_MEMORY = 512
_RECEIVES = 10
# A shard takes five reads a second of all its readers together: two of these leave room for Lambda's own.
# https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
_AT_ONCE = 2


class Resolver(Construct):
    """Fetches the records that Lambda gave up into the poison store.

    Lambda tells its on-failure destination where the records are, not what they are: a process that dies with
    a record (a crash, no memory, a timeout that nothing could interrupt) leaves its position. The resolver
    reads the stream there while it still can, keeps each record whole, and tells of those that had expired.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        source: Source,
        store: PoisonStore,
        encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        name = queues.name_queue(self, fifo=False)
        self.dead_letter_queue = queues.make_dead_letter_queue(
            self, "DeadLetterQueue", source=name, fifo=False, encryption_key=encryption_key
        )
        """Positions that could not be resolved: the records are still in the stream, until they expire."""
        self.queue = queues.make_queue(
            self,
            "DiscardedQueue",
            name=name,
            fifo=False,
            visibility_timeout=6 * _TIMEOUT,
            dead_letter_queue=self.dead_letter_queue,
            max_receive_count=_RECEIVES,
            encryption_key=encryption_key,
        )
        """The mapping's on-failure destination."""
        self.queue_name = name.name
        self.log_group = logs.LogGroup(self, "LogGroup", retention=logs.RetentionDays.ONE_MONTH)
        """What it fetched, and what was gone."""
        self.role = iam.Role(self, "Role", assumed_by=lambda_service())
        """What it may do."""
        self.log_group.grant_write(self.role)
        self.dead_letter_queue_name = self.dead_letter_queue.queue_name
        settings = Settings(
            handler=_HANDLER,
            mode="messages",
            service=f"{service}Resolver",
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            stream=store.settings,
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=_code(),
            handler="index.handler",
            runtime=default_runtime(),
            architecture=default_architecture(),
            layers=[RuntimeLayer.of(self)],
            timeout=_timeout(),
            memory_size=_MEMORY,
            environment=settings.to_env(),
            description="Fetches the records that Lambda gave up into the poison store",
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
        )
        """The function."""
        self.queue.grant(
            self.role,
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        )
        if encryption_key is not None:
            encryption_key.grant(self.role, "kms:Decrypt")
        grant_sending(self.dead_letter_queue, self.role)
        store.let_keep(self.role)
        source.let_fetch(self.role)
        lambda_.CfnEventSourceMapping(
            self,
            "EventSourceMapping",
            event_source_arn=self.queue,
            function_name=self.function,
            batch_size=1,
            scaling_config={"maximumConcurrency": _AT_ONCE},
            function_response_types=["ReportBatchItemFailures"],
            metrics_config={"metrics": ["EventCount"]},
        )


@cache
def _code() -> lambda_.InlineCode:
    return lambda_.Code.from_inline(_CODE)


@cache
def _timeout() -> Duration:
    return Duration.seconds(_TIMEOUT)
