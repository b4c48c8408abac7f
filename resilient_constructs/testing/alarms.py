"""What every alarm owes to whoever it wakes, as an assertion over a whole template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .template import template_of

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk.assertions import Template

__all__ = ["alarms_of", "assert_alarms_explain_themselves"]


def alarms_of(source: Stack | Template | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of every CloudWatch metric alarm, by logical ID."""
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in template_of(source).get("Resources", {}).items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def assert_alarms_explain_themselves(
    source: Stack | Template | Mapping[str, Any], *, actions: bool = True
) -> None:
    """Fail unless every alarm of the template can fire, says why, says what silence means, and tells someone.

    :param source: the stack or template to walk
    :param actions: whether every alarm must tell someone, both when it goes off and when all is well again;
        turn it off for stacks without an ``OnCall``
    :raises AssertionError: names every alarm that falls short and what it lacks; also when there is no alarm
        at all, because then nothing was checked
    """
    alarms = alarms_of(source)
    if not alarms:
        raise AssertionError("the template has no alarm")
    lacking = [
        f"{logical_id}: {fault}"
        for logical_id, alarm in alarms.items()
        for fault in _shortcomings(alarm, actions=actions)
    ]
    if lacking:
        raise AssertionError("alarms that do not explain themselves:\n  " + "\n  ".join(lacking))


def _shortcomings(alarm: Mapping[str, Any], *, actions: bool) -> Iterator[str]:
    for metric in _metrics(alarm):
        if not metric.get("Dimensions"):
            yield f"no dimensions on {metric.get('MetricName')}, so it can never fire"
    if "TreatMissingData" not in alarm:
        yield "does not say what missing data means"
    if not alarm.get("AlarmDescription"):
        yield "no description: why does it wake someone?"
    if actions:
        for kind in ("AlarmActions", "OKActions"):
            if not alarm.get(kind):
                yield f"no {kind}: it tells nobody"


def _metrics(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "Metrics" in alarm:
        return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]
    return [alarm]
