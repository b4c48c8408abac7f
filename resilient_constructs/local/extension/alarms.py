"""AWS::CloudWatch::Alarm with metric math.

AWS: an alarm watches one metric or, with ``Metrics``, one metric-math expression.
ministack 1.5.33: rejects a template whose alarm has ``Metrics``.
Here: the alarm is stored with its expression and stays in INSUFFICIENT_DATA; the fidelity list says that no
alarm is evaluated locally.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from .resources import Properties


def close() -> None:
    """Put it in place."""
    stock = provisioners._cw_metric_alarm_record

    def record(name: str, properties: Properties) -> dict[str, Any]:
        if not properties.get("Metrics"):
            return dict(stock(name, properties))
        single = {"Namespace": "MetricMath", "MetricName": "MetricMath", **properties, "Metrics": None}
        alarm = dict(stock(name, single))
        return {**alarm, "Namespace": None, "MetricName": None, "Metrics": properties["Metrics"]}

    provisioners._cw_metric_alarm_record = record
    evaluate = cloudwatch._evaluate_alarm

    def evaluate_single_metrics(alarm: dict[str, Any]) -> Any:
        return None if alarm.get("Metrics") else evaluate(alarm)

    cloudwatch._evaluate_alarm = evaluate_single_metrics
