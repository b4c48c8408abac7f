"""The pictures of a soak: each resource with its limit and its forecast, and the latency."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resilient_constructs import pages

from .story import Resource, Story
from .words import NAMES

__all__ = ["figure"]

_MB = 1 << 20
_MOST_POINTS = 2500
_USED, _LIMIT, _FORECAST, _LATENCY = "#0072B2", "#5B6B78", "#C0392B", "#009E73"
_GAP = 0.062
# What leaks is what one wants to see.
_WIDE = 2.2


def figure(story: Story) -> go.Figure:
    """All panels; what leaks is shown as far as its forecast, the rest as far as it was seen."""
    resources = list(story.resources.values())
    titles = [f"{NAMES[one.name][0].upper()}{NAMES[one.name][1:]}{_unit(one)}" for one in resources]
    plot = make_subplots(
        rows=len(resources) + 1,
        cols=1,
        vertical_spacing=_GAP,
        row_heights=[_WIDE if one.name == story.leak else 1 for one in resources] + [1],
        subplot_titles=[*titles, "Latency, milliseconds, seen from outside"],
    )
    last = _last_invocation(story)
    for row, resource in enumerate(resources, start=1):
        _use(plot, row, resource, last, leaking=resource.name == story.leak, story=story)
    _latency(plot, len(resources) + 1, story)
    _mark_failure(plot, story)
    _dress(plot, max(2, len(story.observations)), len(resources) + 1)
    for row, resource in enumerate(resources, start=1):
        if resource.name == story.leak:
            plot.update_xaxes(range=[0, last * 1.01], row=row, col=1)
    return plot


def _use(plot: go.Figure, row: int, resource: Resource, last: int, *, leaking: bool, story: Story) -> None:
    scale = _scale(resource)
    places = _thinned(len(resource.values))
    plot.add_scatter(
        x=[place + 1 for place in places],
        y=[None if (value := resource.values[place]) is None else value / scale for place in places],
        name="used",
        mode="lines",
        line={"color": _USED, "width": 2},
        showlegend=row == 1,
        row=row,
        col=1,
    )
    seen = [value for value in resource.values if value is not None]
    # A limit far above what is used would flatten the curve; it is told in the table.
    if leaking or (seen and max(seen) > 0.3 * resource.limit):
        plot.add_scatter(
            x=[1, last],
            y=[resource.limit / scale] * 2,
            name="limit",
            mode="lines",
            line={"color": _LIMIT, "width": 1.2, "dash": "dash"},
            showlegend=leaking,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    if leaking:
        _forecast(plot, row, resource, story, scale)


def _forecast(plot: go.Figure, row: int, resource: Resource, story: Story, scale: float) -> None:
    outlook = story.predicted
    if outlook is None or outlook.fails_at is None or outlook.interval is None:
        return
    # From where the forecast was made, so that what came of it lies beside it.
    start = min(outlook.observed, len(resource.values))
    value = resource.values[start - 1] or 0
    plot.add_scatter(
        x=[start, outlook.fails_at],
        y=[value / scale, resource.limit / scale],
        name=f"forecast after {start:,} invocations",
        mode="lines+markers",
        line={"color": _FORECAST, "width": 1.8, "dash": "dot"},
        marker={"size": [0, 9], "color": _FORECAST},
        row=row,
        col=1,
    )
    low, high = outlook.interval
    if high > low:
        plot.add_vrect(x0=low, x1=high, fillcolor=_FORECAST, opacity=0.12, line_width=0, row=row, col=1)


def _latency(plot: go.Figure, row: int, story: Story) -> None:
    # Of many invocations the slowest in each stretch: thinning out must not hide a spike.
    milliseconds = [one.seconds * 1000 for one in story.observations]
    places = _thinned(len(milliseconds))
    edges = [*places[1:], len(milliseconds)]
    plot.add_scatter(
        x=[place + 1 for place in places],
        y=[max(milliseconds[place:edge]) for place, edge in zip(places, edges, strict=True)],
        name="latency",
        mode="lines",
        line={"color": _LATENCY, "width": 1},
        showlegend=False,
        row=row,
        col=1,
    )


def _mark_failure(plot: go.Figure, story: Story) -> None:
    if story.failed_at is None:
        return
    plot.add_vline(x=story.failed_at, line={"color": _FORECAST, "width": 1.4}, row="all", col=1)
    plot.add_annotation(
        x=story.failed_at,
        y=0.97,
        yref="y domain",
        yanchor="top",
        xanchor="right",
        text=f"failed at {story.failed_at:,} ",
        showarrow=False,
        font={"size": 11, "color": "#8E2A1E"},
    )


def _dress(plot: go.Figure, last: int, rows: int) -> None:
    pages.undecorate(
        plot,
        height=190 * rows + 200,
        last=last * 1.01,
        margin={"l": 58, "r": 14, "t": 34, "b": 46},
        legend={"x": 1, "xanchor": "right", "y": 1.006, "yanchor": "bottom", "orientation": "h"},
    )
    plot.update_xaxes(title_text="invocations", row=rows, col=1)
    plot.update_yaxes(type="log", rangemode="normal", row=rows, col=1)


def _last_invocation(story: Story) -> int:
    """As far as there is something to see: what was run, or the failure that is foretold."""
    made = len(story.observations)
    if story.predicted is None or story.predicted.interval is None or story.failed_at is not None:
        return max(made, story.predicted.interval[1] if story.predicted and story.predicted.interval else 0)
    return max(made, min(story.predicted.interval[1], 4 * (story.predicted.fails_at or made)))


def _thinned(count: int) -> Sequence[int]:
    step = max(1, -(-count // _MOST_POINTS))
    return range(0, count, step)


def _scale(resource: Resource) -> float:
    return _MB if resource.name in ("memory", "tmp") else 1


def _unit(resource: Resource) -> str:
    return ", MB" if resource.name in ("memory", "tmp") else ""
