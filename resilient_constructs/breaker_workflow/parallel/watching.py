"""A batch's alarms and its section of the dashboard: a workflow's, in a batch's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from resilient_constructs.breaker_workflow.signals import (
    QUERIES,
    Emitted,
    starter_signals,
    workflow_section,
    workflow_signals,
)
from resilient_constructs.monitoring import Metric, OnCall, Panel, Signal, monitor
from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.tokens import pseudo

__all__ = ["batch_signals", "save_queries", "watch_batches"]

_TITLES = {
    "WorkGivenUp": "Items were given up",
    "ExecutionsFailed": "Batches failed",
    "ExecutionsTimedOut": "Batches ran out of time",
    "ExecutionsSlow": "Batches come close to their timeout",
    "WorkWaits": "Batches wait long to be started",
}
_REASONS = {
    "WorkGivenUp": "Each dead letter is one item, with its index, its batch, error, cause and execution, or a"
    " whole batch that could not be begun. Mend the cause, then move the messages to the work queue: an item"
    " is worked on again in its old place, and nothing else of its batch is.",
    "ExecutionsFailed": "More items failed than are tolerated (Resilient.TooManyItemsFailed): all others are"
    " done, and those that failed are dead letters; move them to the work queue. Do not start the batch anew,"
    " which does all of it again. Resilient.ItemsWithoutLetter: some ran out of time or were stopped, and"
    " only the manifest has them; send these anew. Any other error: the batch itself is the dead letter.",
    "ExecutionsTimedOut": "Items that were under way or had not begun are not done. `resilient redrive"
    " EXECUTION` goes on with these. Their downstream's circuit may have been open for long.",
    "ExecutionsSlow": "There are more items than the concurrency can do in the time, or the circuit was open."
    " Raise the timeout, or send smaller batches.",
}


def batch_signals(emitted: Emitted, *, timeout: float, alarm_age: float) -> tuple[Signal, ...]:
    """When batches should wake someone.

    :param timeout: seconds that a batch may take
    :param alarm_age: seconds that the oldest batch may wait to be started
    """
    return tuple(
        replace(
            signal,
            title=_TITLES.get(signal.name, signal.title),
            because=_REASONS.get(signal.name, signal.because),
        )
        for signal in workflow_signals(emitted, timeout=timeout, alarm_age=alarm_age)
    )


def watch_batches(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    timeout: float,
    alarm_age: float,
    starter: ResilientFunction,
    is_distributed: bool,
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms and show the batches on the dashboard.

    :param is_distributed: whether there are Map Runs
    :return: the alarms by the signal's name
    """
    section = workflow_section(
        title,
        emitted,
        timeout=timeout,
        starter_timeout=starter.timeout_seconds,
        starter_log=starter.log_group,
    )
    if is_distributed:
        section = replace(section, panels=(*section.panels, _map_runs()))
    return monitor(
        scope,
        signals=(
            *batch_signals(emitted, timeout=timeout, alarm_age=alarm_age),
            *starter_signals(emitted.function, timeout=starter.timeout_seconds),
        ),
        section=section,
        on_call=on_call,
    )


def save_queries(scope: Construct, title: str, log_group_name: str) -> None:
    """The questions asked of the executions' log, those of the items too.

    :param log_group_name: where executions are logged
    """
    for construct_id, saved in QUERIES.items():
        logs.CfnQueryDefinition(
            scope,
            construct_id,
            # the slash makes the stack's name its folder
            name=f"{pseudo().stack_name}/{title}: {saved.name}",
            query_string=saved.query,
            log_group_names=[log_group_name],
        )


def _map_runs() -> Panel:
    # Of the whole account: AWS has none by state machine.
    # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    def metric(name: str, label: str) -> Metric:
        return Metric(namespace="AWS/States", name=name, dimensions={}, statistic="Maximum", label=label)

    return Panel(
        title="Map Runs in the account",
        left=(metric("ApproximateOpenMapRunCount", "open"), metric("OpenMapRunLimit", "allowed")),
        right=(metric("ApproximateMapRunBacklogSize", "waiting for a place"),),
    )
