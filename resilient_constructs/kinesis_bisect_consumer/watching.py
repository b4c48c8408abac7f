"""A stream consumer's alarms and its section of the dashboard: its own signals, and those of its function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from resilient_constructs.downstream import Downstream
from resilient_constructs.downstream.signals import downstream_section
from resilient_constructs.monitoring import LogGroup, OnCall, Signal, monitor
from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.resilient_function.settings_signals import settings_panels, settings_signals
from resilient_constructs.resilient_function.work_signals import work_signals

from .choices import Chosen, Concurrency
from .emitted import Emitted
from .sections import stream_section
from .signals import given_up_signals, poison_signals, reading_signals, stream_signals

__all__ = ["watch"]


def watch(
    scope: Construct,
    title: str,
    emitted: Emitted,
    *,
    chosen: Chosen,
    concurrency: Concurrency,
    shards: float | None,
    shard_metrics: bool,
    per_batch: bool,
    timeout: float | None,
    ours: ResilientFunction | None,
    resolver_log_group: LogGroup,
    downstreams: Sequence[Downstream],
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make the alarms of a consumer and show it on the dashboard.

    :param per_batch: whether the handler gets all records of a batch at once
    :param timeout: the function's timeout in seconds, if known
    :param ours: the function, where it has our runtime and so tells of itself
    :return: the alarms by the signal's name
    """
    full = None if ours is None else ours.full
    signals: tuple[Signal, ...] = (
        *reading_signals(emitted, alarm_age=chosen.alarm_age, retention=chosen.retention),
        *poison_signals(emitted, has_runtime=ours is not None, per_batch=per_batch),
        *given_up_signals(emitted),
        *stream_signals(emitted, shards=shards),
        *_of_function(emitted, timeout, ours, concurrency),
    )
    section = stream_section(
        title,
        emitted,
        alarm_age=chosen.alarm_age,
        max_concurrency=concurrency.most,
        shard_metrics=shard_metrics,
        timeout=timeout,
        log_groups=(*(() if ours is None else (ours.log_group,)), resolver_log_group),
        full=full,
    )
    if ours is not None:
        name, remembers = emitted.function["FunctionName"], ours.idempotency_table is not None
        signals += settings_signals(name, configured=ours.configured, remembers=remembers)
        more = settings_panels(name, configured=ours.configured, remembers=remembers)
        section = replace(section, panels=section.panels + more)
    alarms = monitor(scope, signals=signals, section=section, on_call=on_call)
    for each in downstreams if ours is not None else ():
        calls = downstream_section(
            f"{title} → {each.name}", downstream=each.name, function_name=emitted.function["FunctionName"]
        )
        monitor(scope, signals=(), section=calls, on_call=None)
    return alarms


def _of_function(
    emitted: Emitted, timeout: float | None, ours: ResilientFunction | None, concurrency: Concurrency
) -> tuple[Signal, ...]:
    found = work_signals(
        emitted.function,
        timeout=timeout,
        full=None if ours is None else ours.full,
        may_refuse=ours is not None and ours.may_refuse,
    )
    if concurrency.reserved is None:
        return found
    # Reserved concurrency is what holds a stream to its downstream: throttling is it at work, and no retry.
    return tuple(signal for signal in found if signal.name != "Throttles")
