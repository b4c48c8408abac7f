"""The names that what a stream's consumer emits goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilient_constructs.monitoring import Metric
from resilient_constructs.resilient_function.runtime_metric import runtime_metric

from .limits import HOUR

__all__ = ["Emitted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitted:
    """The names that the metrics of one consumer go by.

    :param function: the CloudWatch dimensions of the function (of the alias, where one consumes)
    :param mapping_id: the event source mapping's UUID
    :param stream_name: the Kinesis stream; None for a table's
    :param poison_queue_name: where poison is kept
    :param discarded_queue_name: where Lambda tells what it gave up
    :param unresolved_queue_name: where positions are that could not be resolved
    :param resolver_name: the resolver's function
    """

    function: Mapping[str, str]
    mapping_id: str
    stream_name: str | None
    poison_queue_name: str
    discarded_queue_name: str
    unresolved_queue_name: str
    resolver_name: str

    def runtime(self, name: str, label: str | None = None) -> Metric:
        """A metric of our runtime in the function."""
        return runtime_metric(self.function["FunctionName"], name, label=label)

    def mapping(self, name: str, label: str | None = None, *, period: int = 60) -> Metric:
        """A metric of the event source mapping; it is emitted because ``EventCount`` is switched on.

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
        """
        return Metric(
            namespace="AWS/Lambda",
            name=name,
            dimensions={"EventSourceMappingUUID": self.mapping_id},
            label=label,
            period=period,
        )

    def lambda_(self, name: str, statistic: str = "Sum", label: str | None = None) -> Metric:
        """A metric of the function."""
        return Metric(
            namespace="AWS/Lambda",
            name=name,
            dimensions=self.function,
            statistic=statistic,
            label=label,
        )

    def stream(self, name: str, statistic: str = "Sum", label: str | None = None) -> Metric:
        """A metric of the Kinesis stream.

        https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
        """
        return Metric(
            namespace="AWS/Kinesis",
            name=name,
            dimensions={"StreamName": self.stream_name or ""},
            statistic=statistic,
            label=label,
        )

    @property
    def iterator_age(self) -> Metric:
        """Milliseconds from a record's arrival to its being sent to the function; the oldest of all."""
        return self.lambda_("IteratorAge", "Maximum", "age of what is read, ms")

    @property
    def poison_waiting(self) -> Mapping[str, Metric]:
        """What tells of poison: records that wait in the queue, and those that came in the last minute."""
        return {
            "waiting": _sqs(
                self.poison_queue_name, "ApproximateNumberOfMessagesVisible", "Maximum", "poison waiting"
            ),
            "sent": _sqs(self.poison_queue_name, "NumberOfMessagesSent", "Sum", "poison stored"),
        }

    @property
    def poison_age(self) -> Metric:
        """Seconds since the oldest poison record was stored that was received less than three times.

        SQS leaves out the age of all others, and every look at the store receives all that is in it.
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
        """
        return _sqs(
            self.poison_queue_name,
            "ApproximateAgeOfOldestMessage",
            "Maximum",
            "age of the oldest looked at less than three times, s",
        )

    @property
    def poison_there(self) -> Metric:
        """The most poison records that could be seen at once within each hour.

        Who looks at the store hides them for up to a quarter of an hour, so the least would be nothing.
        """
        return _sqs(
            self.poison_queue_name,
            "ApproximateNumberOfMessagesVisible",
            "Maximum",
            "poison waiting, by the hour",
            period=HOUR,
        )

    @property
    def discarded_age(self) -> Metric:
        """Seconds that the oldest position has waited for the resolver.

        SQS leaves out what was received three times; what fails that often ends among the unresolved.
        """
        return _sqs(
            self.discarded_queue_name, "ApproximateAgeOfOldestMessage", "Maximum", "oldest position, s"
        )

    @property
    def unresolved(self) -> Metric:
        """Positions that the resolver gave up."""
        return _sqs(
            self.unresolved_queue_name, "ApproximateNumberOfMessagesVisible", "Maximum", "positions given up"
        )

    @property
    def resolved(self) -> Metric:
        """Messages of Lambda whose records were fetched into the poison store."""
        return runtime_metric(self.resolver_name, "Resolved", label="given up by Lambda, and fetched")

    @property
    def expired(self) -> Metric:
        """Records that the stream had dropped before anybody could fetch them."""
        return runtime_metric(self.resolver_name, "RecordsExpired", label="expired, lost")


def _sqs(queue_name: str, name: str, statistic: str, label: str, *, period: int = 60) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue_name},
        statistic=statistic,
        label=label,
        period=period,
    )
