"""The metrics of a consumer, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.monitoring.published import as_cloudwatch

from .signals import Emitted

__all__ = ["MeasuredConsumer"]


class MeasuredConsumer(Construct):
    """A consumer seen through its metrics."""

    queue: sqs.IQueue
    """The queue that messages wait in."""
    _emitted: Emitted

    def metric_oldest_message_age(self) -> cloudwatch.Metric:
        """Seconds since the oldest waiting message was sent."""
        return as_cloudwatch(self._published.oldest_message_age)

    def metric_waiting(self) -> cloudwatch.Metric:
        """Messages that could be received now."""
        return as_cloudwatch(self._published.waiting)

    def metric_in_flight(self) -> cloudwatch.Metric:
        """Messages received and neither deleted nor returned."""
        return as_cloudwatch(self._published.in_flight)

    def metric_concurrency(self) -> cloudwatch.Metric:
        """How many invocations of the function run at once."""
        return as_cloudwatch(self._published.concurrency)

    def metric_failed(self) -> cloudwatch.Metric:
        """Messages that failed and went back to the queue."""
        return as_cloudwatch(self._published.mapping("FailedInvokeEventCount"))

    def metric_dead_letters(self) -> cloudwatch.Metric:
        """Messages that wait in the dead-letter queue.

        :raises ValueError: when the given queue has no dead-letter queue
        """
        dead_letters = self._published.dead_letters
        if not dead_letters:
            raise ValueError(
                f"{self.node.path}: its queue has no dead-letter queue, so there is no metric of it"
            )
        return as_cloudwatch(dead_letters["waiting"])

    @property
    def _published(self) -> Emitted:
        # The written-out name holds the UUID of the stack that it stands in, so it is wrong in an alarm of
        # another stack. The queue's own attribute becomes an export there.
        return replace(self._emitted, queue_name=self.queue.queue_name)
