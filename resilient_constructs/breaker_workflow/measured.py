"""The metrics of a workflow, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.monitoring.published import as_cloudwatch

from .signals import Emitted

__all__ = ["MeasuredWorkflow"]


class MeasuredWorkflow(Construct):
    """A workflow seen through its metrics."""

    queue: sqs.IQueue
    """The queue that work waits in until it is started."""
    work_queue: sqs.IQueue
    """The same as ``queue``."""
    parked_queue: sqs.IQueue | None
    """The queue that work waits in while the circuit is open; None where none is parked in a queue."""
    _emitted: Emitted

    def metric_started(self) -> cloudwatch.Metric:
        """Executions that began."""
        return as_cloudwatch(self._emitted.machine("ExecutionsStarted"))

    def metric_succeeded(self) -> cloudwatch.Metric:
        """Executions that ended well; one that parked its work did."""
        return as_cloudwatch(self._emitted.machine("ExecutionsSucceeded"))

    def metric_failed(self) -> cloudwatch.Metric:
        """Executions that failed: their work was given up."""
        return as_cloudwatch(self._emitted.machine("ExecutionsFailed"))

    def metric_timed_out(self) -> cloudwatch.Metric:
        """Executions that ran out of time."""
        return as_cloudwatch(self._emitted.machine("ExecutionsTimedOut"))

    def metric_throttled(self) -> cloudwatch.Metric:
        """State transitions that the account's quota held back."""
        return as_cloudwatch(self._emitted.machine("ExecutionThrottled"))

    def metric_time(self, statistic: str = "p99") -> cloudwatch.Metric:
        """How long an execution takes, in milliseconds.

        :param statistic: of CloudWatch's. Default: what 99 of 100 stay below
        """
        return as_cloudwatch(self._emitted.machine("ExecutionTime", statistic))

    def metric_waiting(self) -> cloudwatch.Metric:
        """Work that waits to be started."""
        return as_cloudwatch(self._published.waiting)

    def metric_oldest_work_age(self) -> cloudwatch.Metric:
        """Seconds since the oldest waiting work was sent."""
        return as_cloudwatch(self._published.oldest_work_age)

    def metric_parked(self) -> cloudwatch.Metric:
        """Work that waits for the circuit.

        :raises ValueError: where none is parked in a queue
        """
        parked = self._published.parked
        if parked is None:
            raise ValueError(f"{self.node.path} parks nothing in a queue, so there is no metric of it")
        return as_cloudwatch(parked)

    def metric_dead_letters(self) -> cloudwatch.Metric:
        """Work that was given up and waits in the dead-letter queue."""
        return as_cloudwatch(self._emitted.dead_letters["waiting"])

    @property
    def _published(self) -> Emitted:
        # Written-out names hold the UUID of the stack that they stand in, so they are wrong in an alarm of
        # another stack. The queues' own attributes become exports there.
        parked = None if self.parked_queue is None else self.parked_queue.queue_name
        return replace(self._emitted, work_queue_name=self.queue.queue_name, parked_queue_name=parked)
