"""A consumer's alarms and its section of the dashboard: its own signals, and those of its function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from resilient_constructs.downstream import Downstream
from resilient_constructs.downstream.signals import downstream_section
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.resilient_function.consuming import expression_number
from resilient_constructs.resilient_function.settings_signals import settings_panels, settings_signals
from resilient_constructs.resilient_function.work_signals import work_signals
from resilient_constructs.tokens import is_token

from .choices import Chosen
from .emitted import Emitted
from .eviction_signals import eviction_panel, eviction_signals
from .sections import consumer_section, lane_section
from .signals import consumer_signals

__all__ = ["watch", "watch_lane"]


def watch(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    chosen: Chosen,
    slots: float,
    timeout: float | None,
    ours: ResilientFunction | None,
    evicts: bool,
    downstreams: Sequence[Downstream],
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms of a consumer and show it on the dashboard.

    :param slots: how many invocations its own queue may run at once; all of its concurrency but for a lane's
    :param timeout: the function's timeout in seconds, if known
    :param ours: the function, where it has our runtime and so tells of itself
    :param evicts: whether it archives what is too old
    :return: the alarms by the signal's name
    """
    full = None if ours is None else ours.full
    signals = (
        *consumer_signals(
            emitted,
            max_concurrency=expression_number(slots),
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
        if evicts:
            signals += eviction_signals(name)
            more += (eviction_panel(name),)
        section = replace(section, panels=section.panels + more)
    alarms = monitor(scope, signals=signals, section=section, on_call=on_call)
    for each in downstreams if ours is not None else ():
        section = downstream_section(
            f"{title} → {each.name}",
            downstream=each.name,
            function_name=emitted.function["FunctionName"],
        )
        monitor(scope, signals=(), section=section, on_call=None)
    return alarms


def watch_lane(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    slots: float,
    alarm_age: float,
    fifo: bool,
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms of a lane and show it on the dashboard; its function's are those of the consumer.

    :param slots: how many invocations its queue may run at once
    :param alarm_age: seconds that its oldest message may wait
    :return: the alarms by the signal's name
    """
    signals = consumer_signals(
        emitted, max_concurrency=expression_number(slots), alarm_age=alarm_age, fifo=fifo
    )
    return monitor(scope, signals=signals, section=lane_section(title, emitted), on_call=on_call)
