"""The names that what a consumer emits goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilient_constructs.monitoring import Metric

__all__ = ["Emitted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitted:
    """The names that the metrics of one consumer go by.

    :param queue_name: the source queue
    :param dead_letter_queue_name: where messages are given up to; None when a given queue has none
    :param mapping_id: the event source mapping's UUID
    :param function: the CloudWatch dimensions of the function (of the alias, where one consumes)
    """

    queue_name: str
    dead_letter_queue_name: str | None
    mapping_id: str
    function: Mapping[str, str]

    def queue(self, name: str, statistic: str, label: str | None = None) -> Metric:
        """A metric of the source queue."""
        return _sqs(self.queue_name, name, statistic, label)

    def mapping(self, name: str, label: str | None = None) -> Metric:
        """A metric of the event source mapping; it is emitted because ``EventCount`` is switched on.

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
        """
        return Metric(
            namespace="AWS/Lambda",
            name=name,
            dimensions={"EventSourceMappingUUID": self.mapping_id},
            label=label,
        )

    @property
    def concurrency(self) -> Metric:
        """How many invocations run at once; its maximum is the only meaningful statistic."""
        return Metric(
            namespace="AWS/Lambda",
            name="ConcurrentExecutions",
            dimensions=self.function,
            statistic="Maximum",
            label="running at once",
        )

    @property
    def oldest_message_age(self) -> Metric:
        """Seconds since the oldest waiting message was sent."""
        return self.queue("ApproximateAgeOfOldestMessage", "Maximum", "age of the oldest, s")

    @property
    def waiting(self) -> Metric:
        """Messages that could be received now."""
        return self.queue("ApproximateNumberOfMessagesVisible", "Maximum", "waiting")

    @property
    def in_flight(self) -> Metric:
        """Messages received and neither deleted nor returned."""
        return self.queue("ApproximateNumberOfMessagesNotVisible", "Maximum", "in flight")

    @property
    def dead_letters(self) -> Mapping[str, Metric]:
        """What tells of dead letters: those waiting, those sent and those already taken out again."""
        name = self.dead_letter_queue_name
        if name is None:
            return {}
        return {
            "waiting": _sqs(name, "ApproximateNumberOfMessagesVisible", "Maximum", "dead letters waiting"),
            "sent": _sqs(name, "NumberOfMessagesSent", "Sum", "rejected by the handler"),
            "received": _sqs(name, "NumberOfMessagesReceived", "Sum", "taken out"),
        }


def _sqs(queue_name: str, name: str, statistic: str, label: str | None) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue_name},
        statistic=statistic,
        label=label,
    )
