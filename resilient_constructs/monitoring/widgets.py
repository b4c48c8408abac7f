"""Single widgets of a CloudWatch dashboard, as the dictionaries that its JSON is made of.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from resilient_constructs.tokens import is_token

from .signal import Math, Metric, Panel, SavedQuery

__all__ = ["alarm_widget", "graph_widget", "log_widget", "text_widget"]


def text_widget(markdown: str, *, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    """A line of Markdown without a frame."""
    properties = {"markdown": markdown, "background": "transparent"}
    return _placed("text", properties, x=x, y=y, width=width, height=height)


def alarm_widget(arns: Sequence[str], *, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    """The state of several alarms, the latest change first."""
    properties = {"title": "Alarms", "alarms": list(arns), "sortBy": "stateUpdatedTimestamp"}
    return _placed("alarm", properties, x=x, y=y, width=width, height=height)


def graph_widget(panel: Panel, *, x: int, y: int, width: int, height: int, region: str) -> dict[str, Any]:
    """A time series of the panel's metrics, with the alarm's threshold as a line."""
    metrics = [*_series(panel.left, "left", 0), *_series(panel.right, "right", len(panel.left))]
    axes = {"left": {"min": 0, "showUnits": False}, "right": {"min": 0, "showUnits": False}}
    properties: dict[str, Any] = {
        "title": panel.title,
        "view": "timeSeries",
        "stacked": panel.stacked,
        "region": region,
        "metrics": metrics,
        "yAxis": axes if panel.right else {"left": axes["left"]},
    }
    # a number token would stand in the JSON as a meaningless number
    if panel.threshold is not None and not is_token(panel.threshold):
        line = {"value": panel.threshold, "label": "alarm", "color": "#d13212"}
        properties["annotations"] = {"horizontal": [line]}
    return _placed("metric", properties, x=x, y=y, width=width, height=height)


def log_widget(
    saved: SavedQuery, log_groups: Sequence[str], *, x: int, y: int, width: int, height: int, region: str
) -> dict[str, Any]:
    """A table with the answers of a Logs Insights query."""
    sources = " | ".join(f"SOURCE '{group}'" for group in log_groups)
    query = f"{sources} | {saved.query}"
    properties = {"title": saved.name, "view": "table", "region": region, "query": query}
    return _placed("log", properties, x=x, y=y, width=width, height=height)


def _placed(
    kind: str, properties: Mapping[str, Any], *, x: int, y: int, width: int, height: int
) -> dict[str, Any]:
    return {"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": dict(properties)}


def _series(measured: Sequence[Metric | Math], axis: str, first: int) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for number, one in enumerate(measured, start=first):
        if isinstance(one, Math):
            rows += _math_rows(one, axis, prefix=f"m{number}_")
        else:
            rows.append(_metric_row(one, one.period, {"label": one.label or one.name, "yAxis": axis}))
    return rows


def _math_rows(math: Math, axis: str, *, prefix: str) -> list[list[Any]]:
    expression = math.expression
    if math.metrics:
        # ids are unique per widget in CloudWatch, per expression here
        names = "|".join(re.escape(name) for name in math.metrics)
        expression = re.sub(rf"\b(?:{names})\b", lambda found: prefix + found[0], expression)
    result = {
        "expression": expression,
        "label": math.label,
        "id": f"{prefix}result",
        "period": math.period,
        "yAxis": axis,
    }
    hidden = [
        _metric_row(metric, math.period, {"id": prefix + name, "visible": False})
        for name, metric in math.metrics.items()
    ]
    return [[result], *hidden]


def _metric_row(metric: Metric, period: int, options: Mapping[str, Any]) -> list[Any]:
    dimensions = [part for pair in metric.dimensions.items() for part in pair]
    return [
        metric.namespace,
        metric.name,
        *dimensions,
        {"stat": metric.statistic, "period": period, **options},
    ]
