"""What the runtime inside a function counts, as a metric."""

from __future__ import annotations

from resilient_runtime.settings import METRICS_NAMESPACE

from resilient_constructs.monitoring.signal import Metric

__all__ = ["runtime_metric"]


def runtime_metric(
    function_name: str, name: str, *, statistic: str = "Sum", period: int = 60, label: str | None = None
) -> Metric:
    """A metric of the status records, whose only dimension is the function's name.

    :param name: as the records have it: ``Failed``, ``MemoryUsed``
    :param period: seconds over which one data point is taken. Default: 60
    :param label: how a graph calls it. Default: the metric's name
    """
    return Metric(
        namespace=METRICS_NAMESPACE,
        name=name,
        dimensions={"FunctionName": function_name},
        statistic=statistic,
        period=period,
        label=label,
    )
