"""Signals become CloudWatch alarms: what happened, why it matters, and whom to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from resilient_constructs.limits import Faults
from .limits import ALARM_PAGE
from .on_call import OnCall
from .signal import Math, Metric, Section, Signal

__all__ = ["describe", "monitor"]

RUNBOOK = "https://github.com/walmsles/resilient-constructs/blob/main/docs/runbook.md"


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
    :raises ValueError: when a signal's metric has no dimensions, its description is too long or its window
        is longer than CloudWatch evaluates; all faults at once

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    faults = Faults(f"monitor({type(scope).__name__})")
    for signal in signals:
        _check(signal, faults)
    faults.raise_any()
    return {signal.name: _make_alarm(scope, signal, on_call) for signal in signals}


def describe(signal: Signal) -> str:
    """The alarm's description: the first thing that somebody woken by it reads."""
    return f"{signal.title}. {signal.because} Runbook: {RUNBOOK}#{_anchor(signal.name)}"


def _anchor(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def _check(signal: Signal, faults: Faults) -> None:
    metrics = signal.metric.metrics if isinstance(signal.metric, Math) else {"": signal.metric}
    for metric in metrics.values():
        if not metric.dimensions:
            faults.add(f"{signal.name}.dimensions of {metric.name}", {}, "at least one dimension", ALARM_PAGE)


def _make_alarm(scope: Construct, signal: Signal, on_call: OnCall | None) -> cloudwatch.CfnAlarm:
    actions = None if on_call is None else [on_call.topic_arn(signal.severity)]
    return cloudwatch.CfnAlarm(
        scope,
        f"{signal.name}Alarm",
        alarm_description=describe(signal),
        comparison_operator=signal.comparison.value,
        threshold=signal.threshold,
        evaluation_periods=signal.periods,
        datapoints_to_alarm=signal.datapoints,
        treat_missing_data=signal.missing.value,
        alarm_actions=actions,
        ok_actions=actions,
        **_measured(signal.metric),
    )


def _measured(metric: Metric | Math) -> dict[str, Any]:
    if isinstance(metric, Math):
        return {"metrics": _queries(metric)}
    return {
        "namespace": metric.namespace,
        "metric_name": metric.name,
        "dimensions": _dimensions(metric),
        "period": metric.period,
        **_statistic(metric.statistic),
    }


def _statistic(statistic: str) -> dict[str, str]:
    key = "statistic" if statistic in _PLAIN_STATISTICS else "extended_statistic"
    return {key: statistic}


_PLAIN_STATISTICS = frozenset({"Average", "Maximum", "Minimum", "SampleCount", "Sum"})


def _dimensions(metric: Metric) -> list[Any]:
    return [{"name": name, "value": value} for name, value in metric.dimensions.items()]


def _queries(math: Math) -> list[Any]:
    # plain dicts reach the CDK as they are, so their keys are its own; the generated classes cost a type
    # check per nested value
    return [
        {"id": "result", "expression": math.expression, "label": math.label, "returnData": True},
        *(
            {
                "id": metric_id,
                "returnData": False,
                "metricStat": {
                    "metric": {
                        "namespace": metric.namespace,
                        "metricName": metric.name,
                        "dimensions": _dimensions(metric),
                    },
                    "stat": metric.statistic,
                    "period": math.period,
                },
            }
            for metric_id, metric in math.metrics.items()
        ),
    ]
