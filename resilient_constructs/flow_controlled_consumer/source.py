"""A queue that feeds a consumer: who may send to it, and what its metrics say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import queues
from resilient_constructs.monitoring.published import as_cloudwatch
from resilient_constructs.resilient_function.consuming import filter_criteria
from resilient_constructs.stores import QueueStore

from .choices import Chosen
from .consuming import let_poll
from .emitted import Emitted

__all__ = ["Source"]


class Source(Construct):
    """A queue and the event source mapping that takes messages from it to a function."""

    queue: sqs.IQueue
    """The queue that messages wait in."""
    event_source_mapping: lambda_.CfnEventSourceMapping
    """What takes messages from the queue and invokes the function."""
    alarms: Mapping[str, cloudwatch.CfnAlarm]
    """The alarms by signal: ``OldestMessageAge``, ``FailingMessages`` …"""
    _emitted: Emitted

    def messages(self, *, message_group: str | None = None, deduplicate_by: str | None = None) -> QueueStore:
        """This queue as a place for an API route to store what it accepts.

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

    def metric_oldest_message_age(self) -> cloudwatch.Metric:
        """Seconds since the oldest waiting message was sent."""
        return as_cloudwatch(self._published.oldest_message_age)

    def metric_waiting(self) -> cloudwatch.Metric:
        """Messages that could be received now."""
        return as_cloudwatch(self._published.waiting)

    def metric_in_flight(self) -> cloudwatch.Metric:
        """Messages received and neither deleted nor returned."""
        return as_cloudwatch(self._published.in_flight)

    def metric_failed(self) -> cloudwatch.Metric:
        """Messages that failed and went back to the queue."""
        return as_cloudwatch(self._published.mapping("FailedInvokeEventCount"))

    def take(
        self,
        function: lambda_.IFunction,
        *,
        is_ours: bool,
        key: kms.IKey | None,
        chosen: Chosen,
        concurrency: float,
        filters: Sequence[Mapping[str, object]],
    ) -> str:
        """Have Lambda take its messages to a function.

        :param is_ours: whether the function was made from a handler
        :param key: the customer key that encrypts the queue, if any
        :param concurrency: how many invocations may run at once
        :return: the event source mapping's UUID
        """
        grants = let_poll(self, function, self.queue, key, given=not is_ours)
        self.event_source_mapping = lambda_.CfnEventSourceMapping(
            self,
            "EventSourceMapping",
            event_source_arn=self.queue,
            function_name=function if isinstance(function, lambda_.Function) else function.function_arn,
            batch_size=chosen.batch_size,
            maximum_batching_window_in_seconds=chosen.window or None,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximumConcurrency": concurrency},
            metrics_config={"metrics": ["EventCount"]},
            filter_criteria=filter_criteria(filters),
        )
        if not is_ours:
            # a function of ours stands after its own policy; a given one's policy may stand anywhere
            for grant in grants:
                grant.apply_before(self.event_source_mapping)
        return self.event_source_mapping.ref

    def emits(self, emitted: Emitted) -> None:
        """Note by which names its metrics go."""
        self._emitted = emitted

    @property
    def _published(self) -> Emitted:
        # The written-out name holds the UUID of the stack that it stands in, so it is wrong in an alarm of
        # another stack. The queue's own attribute becomes an export there.
        return replace(self._emitted, queue_name=self.queue.queue_name)
