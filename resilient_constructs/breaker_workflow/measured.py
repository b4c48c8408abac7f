"""The metrics of a workflow, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from dataclasses import replace

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.monitoring import Metric
from resilient_constructs.monitoring.published import as_cloudwatch

from .signals import Emitted

__all__ = ["MeasuredWorkflow"]


class MeasuredWorkflow(Construct):
    """A workflow seen through its metrics.

    Each takes another ``statistic`` of CloudWatch's than its own, and a ``period``; default: a minute.
    """

    queue: sqs.IQueue
    """The queue that work waits in until it is started."""
    work_queue: sqs.IQueue
    """The same as ``queue``."""
    parked_queue: sqs.IQueue | None
    """The queue that work waits in while the circuit is open; None where none is parked in a queue."""
    _emitted: Emitted

    def metric_started(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Executions that began."""
        return _asked(self._emitted.machine("ExecutionsStarted"), statistic, period)

    def metric_succeeded(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Executions that ended well; one that parked its work did."""
        return _asked(self._emitted.machine("ExecutionsSucceeded"), statistic, period)

    def metric_failed(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Executions that failed: their work was given up."""
        return _asked(self._emitted.machine("ExecutionsFailed"), statistic, period)

    def metric_timed_out(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Executions that ran out of time."""
        return _asked(self._emitted.machine("ExecutionsTimedOut"), statistic, period)

    def metric_throttled(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """State transitions that the account's quota held back."""
        return _asked(self._emitted.machine("ExecutionThrottled"), statistic, period)

    def metric_time(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """How long an execution takes, in milliseconds. Default statistic: what 99 of 100 stay below."""
        return _asked(self._emitted.machine("ExecutionTime", "p99"), statistic, period)

    def metric_waiting(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Work that waits to be started."""
        return _asked(self._published.waiting, statistic, period)

    def metric_oldest_work_age(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Seconds since the oldest waiting work was sent."""
        return _asked(self._published.oldest_work_age, statistic, period)

    def metric_parked(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Work that waits for the circuit.

        :raises ValueError: where none is parked in a queue
        """
        parked = self._published.parked
        if parked is None:
            raise ValueError(f"{self.node.path} parks nothing in a queue, so there is no metric of it")
        return _asked(parked, statistic, period)

    def metric_dead_letters(
        self, *, statistic: str | None = None, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Work that was given up and waits in the dead-letter queue."""
        return _asked(self._emitted.dead_letters["waiting"], statistic, period)

    @property
    def _published(self) -> Emitted:
        # Written-out names hold the UUID of the stack that they stand in, so they are wrong in an alarm of
        # another stack. The queues' own attributes become exports there.
        parked = None if self.parked_queue is None else self.parked_queue.queue_name
        return replace(self._emitted, work_queue_name=self.queue.queue_name, parked_queue_name=parked)


def _asked(metric: Metric, statistic: str | None, period: Duration | None) -> cloudwatch.Metric:
    made = as_cloudwatch(metric if statistic is None else replace(metric, statistic=statistic))
    return made if period is None else made.with_(period=period)
