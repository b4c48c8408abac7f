"""A workflow's alarms, its section of the dashboard, and the questions asked of its executions' log."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.tokens import pseudo

from .signals import QUERIES, Emitted, starter_signals, workflow_section, workflow_signals

__all__ = ["watch"]


def watch(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    timeout: float,
    alarm_age: float,
    starter: ResilientFunction,
    log_group_name: str,
    express: bool,
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms, show the workflow on the dashboard, save the queries.

    :param timeout: seconds that an execution may take
    :param alarm_age: seconds that work may wait
    :param log_group_name: where executions are logged
    :return: the alarms by the signal's name
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
    return monitor(
        scope,
        signals=(
            *workflow_signals(emitted, timeout=timeout, alarm_age=alarm_age, express=express),
            *starter_signals(emitted.function, timeout=starter.timeout_seconds),
        ),
        section=workflow_section(
            title,
            emitted,
            timeout=timeout,
            starter_timeout=starter.timeout_seconds,
            starter_log=starter.log_group,
        ),
        on_call=on_call,
    )
