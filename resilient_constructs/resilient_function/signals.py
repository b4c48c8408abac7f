"""What a function emits, what of it may wake someone, and why."""

from __future__ import annotations

import math

from resilient_constructs.monitoring.signal import (
    Comparison,
    Lane,
    LogGroup,
    Math,
    Metric,
    Panel,
    Section,
    Severity,
    Signal,
)
from resilient_constructs.tokens import is_token

from .health_signals import FULL, health_panel, health_signal, interrupted
from .runtime_metric import runtime_metric

__all__ = ["async_signals", "function_panels", "function_section", "function_signals"]

_MINUTE = 60

# Alarms on single invocations judge five minutes and ask for three bad ones: one lost invocation is retried
# and, when that fails too, seen within a minute in a dead-letter queue.
_PERIODS, _DATAPOINTS = 5, 3

_CLOSE_TO_TIMEOUT = 0.9
_SATURATED = 0.9
_SATURATED_MINUTES = 15


def function_signals(
    *,
    function_name: str,
    timeout_seconds: float,
    concurrency_limit: float | None = None,
    deadline_margin: float | None = None,
    full: float = FULL,
    may_refuse: bool = False,
) -> tuple[Signal, ...]:
    """What may wake someone about any function that runs our entry point.

    :param function_name: the function's name, usually a token
    :param timeout_seconds: its timeout; the signals that compute with it are left out for a token
    :param deadline_margin: seconds before the timeout at which the handler is interrupted, where that was
        said; a duration beyond it never happens
    :param full: percent of Lambda's limits from which an environment counts as full
    :param concurrency_limit: how many environments it may have, by its reserved concurrency or by the
        maximum concurrency of its event source; None or a token leaves saturation out
    :param may_refuse: whether a message that began may go back for a circuit or a turn, which is no loss
    """
    signals = [_errors(function_name), _throttles(function_name), health_signal(function_name, full)]
    if not is_token(timeout_seconds):
        signals.append(_duration(function_name, timeout_seconds, deadline_margin or 0))
        signals.append(_unfinished(function_name, timeout_seconds, may_refuse=may_refuse))
    if concurrency_limit and not is_token(concurrency_limit):
        signals.append(_saturation(function_name, concurrency_limit))
    return tuple(signals)


def async_signals(
    *, function_name: str, on_failure_queue_name: str | None, max_event_age_seconds: float
) -> tuple[Signal, ...]:
    """What may wake someone about a function that is invoked asynchronously.

    ``DeadLetterErrors`` is not among them: it counts for the older ``DeadLetterConfig`` alone, which we do
    not use, so an alarm on it could never fire.

    :param on_failure_queue_name: the queue that gets what failed for good; None for another destination
    :param max_event_age_seconds: how long Lambda keeps an event before it gives up
    """
    signals = [
        Signal(
            name="DroppedEvents",
            title="Lambda gave up on asynchronous events",
            because="Their retries or their age ran out. They went to the on-failure destination; find "
            "the cause in the log, then send them again. DestinationDeliveryFailures tells whether any "
            "got lost.",
            metric=_lambda(function_name, "AsyncEventsDropped"),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="DestinationDeliveryFailures",
            title="Failed asynchronous events are being lost",
            because="Lambda could not send them to the on-failure destination: a missing permission, a "
            "deleted queue or a record over its size limit. What it could not send is gone; the log has "
            "their START.",
            metric=_lambda(function_name, "DestinationDeliveryFailures"),
            threshold=1,
            severity=Severity.PAGE,
        ),
    ]
    if on_failure_queue_name is not None:
        signals.append(_failed_events_waiting(on_failure_queue_name))
    if not is_token(max_event_age_seconds):
        signals.append(
            Signal(
                name="AsyncEventAge",
                title="Asynchronous events wait long",
                because=f"The oldest has waited half of the {max_event_age_seconds:g} s after which Lambda "
                "gives up. Look for throttles and errors, and raise the concurrency or slow the senders "
                "down.",
                metric=_lambda(function_name, "AsyncEventAge", "Maximum"),
                threshold=max_event_age_seconds * 1000 / 2,
                severity=Severity.TICKET,
                periods=_PERIODS,
                datapoints=_DATAPOINTS,
            )
        )
    return tuple(signals)


def function_panels(
    *,
    function_name: str,
    timeout_seconds: float,
    concurrency_limit: float | None = None,
    full: float = FULL,
) -> tuple[Panel, ...]:
    """The graphs of a function, for its own section of the dashboard or another construct's."""
    return (
        Panel(
            title="Work: started, completed, failed, rejected",
            left=tuple(
                runtime_metric(function_name, name) for name in ("Started", "Completed", "Failed", "Rejected")
            ),
        ),
        Panel(
            title="Invocations, errors and throttles",
            left=tuple(_lambda(function_name, name) for name in ("Invocations", "Errors", "Throttles")),
        ),
        Panel(
            title="How long an invocation takes, against the timeout (ms)",
            left=(
                _lambda(function_name, "Duration", "p50", label="median"),
                _lambda(function_name, "Duration", "p99", label="99 of 100"),
                _lambda(function_name, "Duration", "Maximum", label="slowest"),
            ),
            right=(interrupted(function_name),),
            threshold=None if is_token(timeout_seconds) else timeout_seconds * 1000,
        ),
        Panel(
            title="Environments at work",
            left=(_lambda(function_name, "ConcurrentExecutions", "Maximum"),),
            threshold=None if is_token(concurrency_limit) else concurrency_limit,
        ),
        health_panel(function_name, full),
    )


def function_section(
    *,
    title: str,
    function_name: str,
    timeout_seconds: float,
    concurrency_limit: float | None,
    log_group: str | LogGroup,
    full: float = FULL,
) -> Section:
    """What a function that stands alone puts on its stack's dashboard."""
    return Section(
        title=title,
        lane=Lane.WORK,
        panels=function_panels(
            function_name=function_name,
            timeout_seconds=timeout_seconds,
            concurrency_limit=concurrency_limit,
            full=full,
        ),
        log_groups=(log_group,),
    )


def _lambda(function_name: str, name: str, statistic: str = "Sum", label: str | None = None) -> Metric:
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    return Metric(
        namespace="AWS/Lambda",
        name=name,
        dimensions={"FunctionName": function_name},
        statistic=statistic,
        label=label,
    )


def _errors(function_name: str) -> Signal:
    return Signal(
        name="Errors",
        title="Invocations fail",
        because="The function raised, timed out or crashed in three of five minutes. Failed messages of a "
        "batch do not count here, so this is the function itself: look for its last FAILED record and the "
        "platform's report.",
        metric=_lambda(function_name, "Errors"),
        threshold=1,
        severity=Severity.TICKET,
        periods=_PERIODS,
        datapoints=_DATAPOINTS,
    )


def _throttles(function_name: str) -> Signal:
    return Signal(
        name="Throttles",
        title="Lambda refuses invocations",
        because="The function's reserved concurrency or the account's limit is used up. Keep an event "
        "source's maximum concurrency at or below what is reserved, or raise the reservation.",
        metric=_lambda(function_name, "Throttles"),
        threshold=1,
        severity=Severity.TICKET,
        periods=_PERIODS,
        datapoints=_DATAPOINTS,
    )


def _duration(function_name: str, timeout_seconds: float, margin: float) -> Signal:
    # a handler that is interrupted well before the timeout never comes closer to it than that
    limit = min(timeout_seconds * _CLOSE_TO_TIMEOUT, timeout_seconds - margin) * 1000
    return Signal(
        name="Duration",
        title="Invocations come close to the timeout",
        because=f"The slowest took more than {limit:,.0f} ms of {timeout_seconds * 1000:,.0f} ms in three "
        "of five minutes. Past it, work is cut off and done again: look at what it waits for, then at the "
        "timeout.",
        metric=_lambda(function_name, "Duration", "Maximum"),
        threshold=limit,
        severity=Severity.TICKET,
        periods=_PERIODS,
        datapoints=_DATAPOINTS,
    )


def _saturation(function_name: str, concurrency_limit: float) -> Signal:
    threshold = math.ceil(concurrency_limit * _SATURATED)
    return Signal(
        name="ConcurrencySaturation",
        title="All environments are busy",
        because=f"For {_SATURATED_MINUTES} minutes at least {threshold} of {concurrency_limit:g} were at "
        "work, so what arrives waits. Normal while a backlog drains; otherwise the downstream is slow or "
        "the limit is too low.",
        metric=_lambda(function_name, "ConcurrentExecutions", "Maximum"),
        threshold=threshold,
        severity=Severity.TICKET,
        periods=_SATURATED_MINUTES,
    )


def _unfinished(function_name: str, timeout_seconds: float, *, may_refuse: bool) -> Signal:
    """Started − completed − failed − rejected, less what may rightly be under way when a period ends.

    Work that is put off has ended too: its HELD record counts, where there can be one.

    A message that starts in one period and completes in the next counts +1, then −1. What is under way at
    once is what started in the last ``timeout`` seconds, at most: at a steady rate ``started × timeout ÷
    period``. Two periods in a row, so that a rush at the end of one is not taken for a loss.
    """
    # Only where it is emitted: a metric without data would make the whole expression empty.
    ends = ("Completed", "Failed", "Rejected", *(("Held",) if may_refuse else ()))
    period = max(15 * _MINUTE, math.ceil(15 * timeout_seconds / _MINUTE) * _MINUTE)
    finished = " - ".join(f"FILL({name}, 0)" for name in map(str.lower, ends))
    share = timeout_seconds / period
    return Signal(
        name="Unfinished",
        title="Work starts and never ends",
        because="More STARTED records than COMPLETED, FAILED and REJECTED ones, beyond what can be under "
        "way: environments die at work (timeout, memory, a crash). The saved query names the correlation "
        "ids.",
        metric=Math(
            expression=f"started - {finished} - started * {share:.4f}",
            metrics={name.lower(): runtime_metric(function_name, name) for name in ("Started", *ends)},
            label="started and not ended",
            period=period,
        ),
        threshold=1,
        comparison=Comparison.AT_LEAST,
        severity=Severity.TICKET,
        periods=2,
    )


def _failed_events_waiting(queue_name: str) -> Signal:
    return Signal(
        name="FailedEvents",
        title="Failed asynchronous events wait in the on-failure queue",
        because="Each holds the event and the error that ended it. Find the cause, then send the events "
        "again before the queue's 14 days are over.",
        metric=Metric(
            namespace="AWS/SQS",
            name="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": queue_name},
            statistic="Maximum",
        ),
        threshold=1,
        severity=Severity.PAGE,
    )
