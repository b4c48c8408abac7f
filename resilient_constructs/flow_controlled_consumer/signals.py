"""What a flow-controlled consumer emits, what may wake someone, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from resilient_runtime.settings import METRICS_NAMESPACE

from resilient_constructs.monitoring import (
    Lane,
    LogGroup,
    Math,
    Metric,
    Panel,
    Section,
    Severity,
    Signal,
)
from resilient_constructs.resilient_function.health_signals import FULL
from resilient_constructs.resilient_function.signals import function_panels, function_signals

__all__ = ["Emitted", "consumer_section", "consumer_signals", "downstream_section", "work_signals"]


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


def consumer_signals(
    emitted: Emitted, *, max_concurrency: str, alarm_age: float, fifo: bool
) -> tuple[Signal, ...]:
    """When a consumer should wake someone.

    :param max_concurrency: as it stands in a metric-math expression, a token written out
    :param alarm_age: seconds that the oldest message may wait
    :param fifo: whether one message can hold up its whole group
    """
    blocked = " In a FIFO queue one failing message holds up all of its group." if fifo else ""
    signals = [
        Signal(
            name="OldestMessageAge",
            title="Messages wait too long",
            because="Work arrives faster than it is done, or nothing is done at all. See whether the function"
            f" fails, is throttled or runs at its concurrency while the downstream is slow.{blocked}",
            metric=emitted.oldest_message_age,
            threshold=alarm_age,
            # one slow minute is no trend; five of them are
            periods=5,
            severity=Severity.PAGE,
        ),
        Signal(
            name="FailingMessages",
            title="Most messages fail and go back to the queue",
            because="Each return spends one of a message's receives; when they are spent it is dead-lettered."
            " The function's Errors metric stays at zero, because only single messages of its batches fail."
            " Read the FAILED records of the function's log: one error everywhere is an outage, not poison.",
            metric=Math(
                expression="100 * failed / invoked",
                metrics={
                    "invoked": emitted.mapping("InvokedEventCount"),
                    "failed": emitted.mapping("FailedInvokeEventCount"),
                },
                label="messages that fail, %",
            ),
            threshold=50,
            periods=5,
            severity=Severity.TICKET,
        ),
        Signal(
            name="ConcurrencySaturated",
            title="All slots are busy and the backlog still grows",
            because=f"The consumer runs at its {max_concurrency} at once. If the downstream has room, raise"
            " its rate or connections in Downstream; if not, this is its limit and the backlog must wait.",
            metric=Math(
                # a backlog that drains at full concurrency is flow control at work, so growth is required
                expression=f"IF(running >= {max_concurrency} AND DIFF(waiting) > 0, 1, 0)",
                metrics={"running": emitted.concurrency, "waiting": emitted.waiting},
                label="saturated while the backlog grows",
            ),
            threshold=1,
            periods=15,
            datapoints=10,
            severity=Severity.TICKET,
        ),
    ]
    if emitted.dead_letter_queue_name is not None:
        signals.append(_dead_letters(emitted))
    return tuple(signals)


def _dead_letters(emitted: Emitted) -> Signal:
    # Three metrics, because each one alone is blind: a message that SQS moves here is not counted as sent,
    # one that is taken out within the minute is never counted as visible, one that nobody takes is never
    # received. MAX over the list ignores those without data.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    return Signal(
        name="DeadLetters",
        title="Messages gave up",
        because="They failed too often or the handler rejected them. Read the reason in the message's"
        " attributes and the FAILED or REJECTED records before redriving. Goes off as well when"
        " one is sent to or received from the dead-letter queue, so that none is missed that was drained at"
        " once.",
        metric=Math(
            expression="MAX([waiting, sent, received])",
            metrics=emitted.dead_letters,
            label="dead letters",
        ),
        threshold=1,
        severity=Severity.PAGE,
    )


def work_signals(
    function: Mapping[str, str], *, timeout: float | None, full: float | None, may_refuse: bool
) -> tuple[Signal, ...]:
    """When the consuming function should wake someone.

    Not its duration: a batch cut off by the timeout is an error, and its panel shows how close the rest came.

    :param function: its CloudWatch dimensions
    :param timeout: its timeout in seconds, if known
    :param full: percent of Lambda's limits from which an environment counts as full; None where the function
        has not our runtime, and so tells nothing of itself
    :param may_refuse: whether a message that began may go back for a circuit or a turn
    """
    wanted = {"Errors", "Throttles", *(() if full is None else ("Unfinished", "ContainerHealth"))}
    timeout = 1 if timeout is None else timeout
    return tuple(
        replace(signal, metric=replace(signal.metric, dimensions=function))
        if isinstance(signal.metric, Metric)
        else signal
        for signal in function_signals(
            function_name=function["FunctionName"],
            timeout_seconds=timeout,
            full=full or FULL,
            may_refuse=may_refuse,
        )
        if signal.name in wanted
    )


def consumer_section(
    title: str,
    emitted: Emitted,
    *,
    max_concurrency: float | None,
    timeout: float | None,
    log_group: str | LogGroup | None,
    full: float | None,
) -> Section:
    """What the dashboard shows of a consumer: what waits, what runs, what fails.

    :param max_concurrency: drawn as a line; None when only CloudFormation knows it
    :param timeout: the function's timeout in seconds, if known
    :param log_group: the log group of a function with our runtime, for the saved queries
    :param full: percent of Lambda's limits from which one of its environments counts as full
    """
    panels = [
        Panel(
            title="Backlog",
            left=(emitted.waiting, emitted.in_flight),
            right=(emitted.oldest_message_age,),
        )
    ]
    if emitted.dead_letter_queue_name is not None:
        panels.append(Panel(title="Dead letters", left=tuple(emitted.dead_letters.values()), threshold=1))
    if log_group is None:
        panels.extend(_panels_from_outside(emitted, max_concurrency))
    else:
        panels.extend(
            function_panels(
                function_name=emitted.function["FunctionName"],
                timeout_seconds=timeout or 0,
                concurrency_limit=max_concurrency,
                full=full or FULL,
            )
        )
    return Section(
        title=title,
        lane=Lane.WORK,
        panels=tuple(panels),
        log_groups=() if log_group is None else (log_group,),
    )


def _panels_from_outside(emitted: Emitted, max_concurrency: float | None) -> tuple[Panel, ...]:
    """What Lambda knows of a function that does not count."""
    return (
        Panel(title="Running at once", left=(emitted.concurrency,), threshold=max_concurrency),
        Panel(
            title="Messages",
            left=(
                emitted.mapping("InvokedEventCount", "begun"),
                emitted.mapping("DeletedEventCount", "done"),
                emitted.mapping("FailedInvokeEventCount", "returned to the queue"),
            ),
        ),
    )


def downstream_section(title: str, *, downstream: str, function_name: str) -> Section:
    """What the dashboard shows of a downstream as one consumer sees it: calls, failures, time taken.

    :param downstream: the downstream's name, under which the runtime counts
    """

    def called(name: str, statistic: str, label: str) -> Metric:
        return Metric(
            namespace=METRICS_NAMESPACE,
            name=name,
            dimensions={"FunctionName": function_name, "Downstream": downstream},
            statistic=statistic,
            label=label,
        )

    return Section(
        title=title,
        lane=Lane.DOWNSTREAM,
        panels=(
            Panel(
                title="Calls and failures",
                left=(
                    called("DownstreamDuration", "SampleCount", "calls"),
                    called("DownstreamFailed", "Sum", "failed"),
                ),
            ),
            Panel(
                title="How long a call takes (ms)",
                left=(
                    called("DownstreamDuration", "p50", "median"),
                    called("DownstreamDuration", "p99", "99 of 100"),
                ),
            ),
        ),
    )


def _sqs(queue_name: str, name: str, statistic: str, label: str | None) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue_name},
        statistic=statistic,
        label=label,
    )
