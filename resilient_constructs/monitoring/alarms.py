"""Signals become CloudWatch alarms: what happened, why it matters, and whom to tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .dashboard import show
from .limits import (
    ALARM_DESCRIPTION,
    ALARM_METRICS,
    ALARM_PAGE,
    ALARM_SHORT_WINDOW,
    ALARM_WARM_UP,
    ALARM_WINDOW,
)
from .on_call import RUNBOOK, OnCall
from .signal import Math, Metric, Section, Signal

__all__ = ["describe", "monitor"]


def monitor(
    scope: Construct,
    *,
    signals: Sequence[Signal],
    section: Section | None,
    on_call: OnCall | None,
) -> Mapping[str, cloudwatch.CfnAlarm]:
    """Make one alarm per signal and put the section on the stack's dashboard.

    :param scope: the construct that is watched; each alarm is its child ``"{signal.name}Alarm"``
    :param signals: what may wake someone
    :param section: what the stack's one dashboard shows of it; None leaves it off the dashboard
    :param on_call: who is told when an alarm goes off and when all is well again; None tells nobody
    :return: the alarms by the signal's name
    :raises ValueError: when a signal makes an alarm that CloudWatch refuses or that can never fire: no
        dimensions, a description too long, a window or a period that does not exist; all faults at once

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    runbook = RUNBOOK if on_call is None else on_call.runbook
    faults = Faults(f"Signals of {type(scope).__name__}")
    for signal in signals:
        _check(signal, describe(signal, runbook=runbook), faults)
    faults.raise_any()
    alarms = {signal.name: _make_alarm(scope, signal, runbook, on_call) for signal in signals}
    if section is not None:
        show(scope, section, list(alarms.values()))
    return alarms


def describe(signal: Signal, *, runbook: str = RUNBOOK) -> str:
    """The alarm's description: the first thing that somebody woken by it reads.

    It ends in the runbook's address with the signal's name as its anchor, ``#oldest-message-age``.
    """
    return f"{signal.title.rstrip('.')}. {signal.because} Runbook: {runbook}#{_anchor(signal.name)}"


def _anchor(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _check(signal: Signal, description: str, faults: Faults) -> None:
    owner = f"{signal.name}: "
    metric = signal.metric
    measured = metric.metrics if isinstance(metric, Math) else {metric.name: metric}
    if isinstance(metric, Math):
        if not ALARM_METRICS.allows(len(measured)):
            faults.add(f"{owner}metrics", sorted(measured), ALARM_METRICS.allowed, ALARM_METRICS.page)
        for metric_id in measured:
            if not _METRIC_ID.fullmatch(metric_id) or metric_id == _RESULT:
                allowed = f"a lower-case letter, then letters, digits and _; not {_RESULT!r}"
                faults.add(f"{owner}metric id", metric_id, allowed, ALARM_PAGE)
    for metric_id, one in measured.items():
        if not one.dimensions:
            faults.add(f"{owner}dimensions of {metric_id}", {}, "at least one", ALARM_PAGE)
    if not signal.because.strip():
        faults.add(f"{owner}because", signal.because, "why this matters, and what to do", ALARM_PAGE)
    if not is_token(description) and not ALARM_DESCRIPTION.allows(len(description)):
        faults.add(f"{owner}description", description, ALARM_DESCRIPTION.allowed, ALARM_DESCRIPTION.page)
    _check_window(signal, owner, faults)


def _check_window(signal: Signal, owner: str, faults: Faults) -> None:
    period = signal.metric.period
    if period not in (10, 20, 30) and (period < 60 or period % 60):
        faults.add(f"{owner}period", period, "10, 20, 30 or a multiple of 60 seconds", ALARM_PAGE)
    window = ALARM_WINDOW if period >= _HOUR else ALARM_SHORT_WINDOW
    if not window.allows(signal.periods * period):
        faults.add(f"{owner}{window.prop}", signal.periods * period, window.allowed, window.page)
    if signal.warm_up is not None and not ALARM_WARM_UP.allows(signal.warm_up):
        faults.add(f"{owner}warm_up", signal.warm_up, ALARM_WARM_UP.allowed, ALARM_WARM_UP.page)
    if signal.datapoints is not None and not 1 <= signal.datapoints <= signal.periods:
        faults.add(f"{owner}datapoints", signal.datapoints, f"1 to {signal.periods}, its periods", ALARM_PAGE)


_HOUR = 3600
_RESULT = "result"
_METRIC_ID = re.compile(r"[a-z][A-Za-z0-9_]*")
_PLAIN_STATISTICS = frozenset({"Average", "Maximum", "Minimum", "SampleCount", "Sum"})


def _make_alarm(
    scope: Construct, signal: Signal, runbook: str, on_call: OnCall | None
) -> cloudwatch.CfnAlarm:
    properties = {
        "alarmDescription": describe(signal, runbook=runbook),
        "comparisonOperator": signal.comparison.value,
        "threshold": signal.threshold,
        "evaluationPeriods": signal.periods,
        "treatMissingData": signal.missing.value,
        **_measured(signal.metric),
    }
    if signal.datapoints is not None:
        properties["datapointsToAlarm"] = signal.datapoints
    if signal.warm_up is not None:
        properties["warmUpConfiguration"] = {"warmUpPeriodDurationInMinutes": signal.warm_up}
    if on_call is not None:
        topics = [on_call.topic_arn(signal.severity)]
        properties |= {"alarmActions": topics, "okActions": topics}
    return _create(scope, f"{signal.name}Alarm", properties)


def _create(scope: Construct, construct_id: str, properties: Mapping[str, Any]) -> cloudwatch.CfnAlarm:
    """``CfnAlarm(scope, construct_id, **properties)``, with the CDK's own spelling of the properties.

    The generated constructor checks every nested value against its type hints, twice: a third of what an
    alarm costs, and alarms are a third of all our resources. What is checked there is made by this module
    from a ``Signal``, which has been checked before. So the generated code's last line is called directly.
    """
    alarm = cloudwatch.CfnAlarm.__new__(cloudwatch.CfnAlarm)
    jsii.create(cloudwatch.CfnAlarm, alarm, [scope, construct_id, properties])
    return alarm


def _measured(metric: Metric | Math) -> dict[str, Any]:
    if isinstance(metric, Math):
        return {"metrics": _queries(metric)}
    statistic = "statistic" if metric.statistic in _PLAIN_STATISTICS else "extendedStatistic"
    return {
        "namespace": metric.namespace,
        "metricName": metric.name,
        "dimensions": _dimensions(metric),
        "period": metric.period,
        statistic: metric.statistic,
    }


def _queries(math: Math) -> list[Any]:
    result = {"id": _RESULT, "expression": math.expression, "label": math.label, "returnData": True}
    return [result, *(_query(name, metric, math.period) for name, metric in math.metrics.items())]


def _query(metric_id: str, metric: Metric, period: int) -> dict[str, Any]:
    named = {
        "namespace": metric.namespace,
        "metricName": metric.name,
        "dimensions": _dimensions(metric),
    }
    return {
        "id": metric_id,
        "returnData": False,
        "metricStat": {"metric": named, "stat": metric.statistic, "period": period},
    }


def _dimensions(metric: Metric) -> list[Any]:
    return [{"name": name, "value": value} for name, value in metric.dimensions.items()]
