"""A consumer's alarms and its section of the dashboard: its own signals, and those of its function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.resilient_function.settings_signals import settings_panels, settings_signals
from resilient_constructs.tokens import is_token

from .choices import Chosen
from .consuming import expression_number
from .signals import Emitted, consumer_section, consumer_signals, work_signals

__all__ = ["watch"]


def watch(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    chosen: Chosen,
    timeout: float | None,
    ours: ResilientFunction | None,
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms of a consumer and show it on the dashboard.

    :param timeout: the function's timeout in seconds, if known
    :param ours: the function, where it has our runtime and so tells of itself
    :return: the alarms by the signal's name
    """
    full = None if ours is None else ours.full
    signals = (
        *consumer_signals(
            emitted,
            max_concurrency=expression_number(chosen.concurrency),
            alarm_age=chosen.alarm_age,
            fifo=chosen.fifo,
        ),
        *work_signals(
            emitted.function, timeout=timeout, full=full, may_refuse=ours is not None and ours.may_refuse
        ),
    )
    section = consumer_section(
        title,
        emitted,
        max_concurrency=None if is_token(chosen.concurrency) else chosen.concurrency,
        timeout=timeout,
        log_group=None if ours is None else ours.log_group,
        full=full,
    )
    if ours is not None:
        name, remembers = emitted.function["FunctionName"], ours.idempotency_table is not None
        signals += settings_signals(name, configured=ours.configured, remembers=remembers)
        more = settings_panels(name, configured=ours.configured, remembers=remembers)
        section = replace(section, panels=section.panels + more)
    return monitor(scope, signals=signals, section=section, on_call=on_call)
