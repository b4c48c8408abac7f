"""A metric as the CDK's own class, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from .signal import Metric

__all__ = ["as_cloudwatch"]


def as_cloudwatch(metric: Metric) -> cloudwatch.Metric:
    """The CDK's metric for ``metric``; made only when asked for, because it costs round trips to Node."""
    return cloudwatch.Metric(
        namespace=metric.namespace,
        metric_name=metric.name,
        dimensions_map=dict(metric.dimensions),
        statistic=metric.statistic,
        period=Duration.seconds(metric.period),
        label=metric.label,
    )
