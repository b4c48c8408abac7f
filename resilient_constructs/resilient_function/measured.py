"""The metrics of a function, for the alarms and dashboards that users draw themselves."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

__all__ = ["MeasuredFunction"]


class MeasuredFunction(Construct):
    """A function seen through its metrics."""

    function: lambda_.Function
    """The function itself."""

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """Any metric of the function in ``AWS/Lambda``."""
        return self.function.metric(metric_name, **options)

    def metric_errors(self, **options: Any) -> cloudwatch.Metric:
        """How many invocations failed."""
        return self.function.metric_errors(**options)

    def metric_throttles(self, **options: Any) -> cloudwatch.Metric:
        """How many invocations Lambda refused."""
        return self.function.metric_throttles(**options)

    def metric_duration(self, **options: Any) -> cloudwatch.Metric:
        """How long invocations take, in milliseconds."""
        return self.function.metric_duration(**options)

    def metric_invocations(self, **options: Any) -> cloudwatch.Metric:
        """How many invocations were carried out."""
        return self.function.metric_invocations(**options)
