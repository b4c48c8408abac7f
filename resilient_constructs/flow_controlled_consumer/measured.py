"""The metrics of a consumer, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from resilient_constructs.monitoring.published import as_cloudwatch

from .eviction_signals import evicted
from .source import Source

__all__ = ["MeasuredConsumer"]


class MeasuredConsumer(Source):
    """A consumer seen through its metrics."""

    dead_letter_queue: sqs.IQueue | None
    """Where messages are given up to; None only where a given queue has none."""
    archive: s3.IBucket | None
    """Where messages are kept that were too old to be done; None where nothing is evicted."""

    def metric_concurrency(self) -> cloudwatch.Metric:
        """How many invocations of the function run at once."""
        return as_cloudwatch(self._published.concurrency)

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

    def metric_evicted(self) -> cloudwatch.Metric:
        """Messages that were archived because they were too old to be done.

        :raises ValueError: when nothing is evicted
        """
        if self.archive is None:
            raise ValueError(
                f"{self.node.path}: evict_after is None, so nothing is evicted and there is no metric of it"
            )
        return as_cloudwatch(evicted(self._published.function["FunctionName"]))
