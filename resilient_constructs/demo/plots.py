"""The pictures of a run: panels over one clock, the outage shaded through all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resilient_constructs import pages

from .circuits import Passing
from .courier import Outcome
from .story import Story

__all__ = ["INK", "figure", "per_second"]

# After Okabe and Ito: told apart by people who see no red or no green, and in grey print by their lightness.
INK = {
    "arrivals": "#0072B2",
    "deliveries": "#009E73",
    "visible": "#56B4E9",
    "in flight": "#B6DCF3",
    "dead": "#7A3E9D",
    Outcome.DELIVERED: "#009E73",
    Outcome.REPEATED: "#8FD6BF",
    Outcome.FAILED: "#E69F00",
    Outcome.THROTTLED: "#F0E442",
    Outcome.REFUSED: "#7A3E9D",
    Outcome.DOWN: "#C0392B",
    Outcome.MISUSED: "#555555",
    Passing.ALL: "#3B7F6B",
    Passing.TRICKLE: "#D98A00",
    Passing.NOTHING: "#A93226",
}
_CALL_NAMES = {
    Outcome.DELIVERED: "delivered (200)",
    Outcome.REPEATED: "repeated (200)",
    Outcome.FAILED: "failed (502)",
    Outcome.THROTTLED: "throttled (429)",
    Outcome.REFUSED: "refused (422)",
    Outcome.DOWN: "down (503)",
    Outcome.MISUSED: "misused (400)",
}


def per_second(moments: Iterable[float], *, start: float, seconds: int) -> list[int]:
    """How many of the moments fall into each second after the start; what lies outside is left out."""
    counts = Counter(int(moment - start) for moment in moments if moment >= start)
    return [counts[second] for second in range(seconds)]


class Panel(NamedTuple):
    """One of the pictures, above one another.

    :param title: what it shows
    :param height: its height in pixels
    :param draw: draws it into a row
    """

    title: str
    height: int
    draw: Callable[[go.Figure, Story, int], None]


def figure(story: Story) -> go.Figure:
    """All panels; that of the circuit only where there is one."""
    panels = [panel for panel in _PANELS if panel.draw is not _circuit or story.changes or story.fed]
    height = sum(panel.height + _GAP for panel in panels)
    seconds = _seconds(story)
    plot = make_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=_GAP / height,
        row_heights=[panel.height for panel in panels],
        subplot_titles=[panel.title for panel in panels],
    )
    for row, panel in enumerate(panels, start=1):
        panel.draw(plot, story, row)
    for begin, end in story.outages:
        _shade(plot, begin - story.started, end - story.started)
    _dress(plot, panels, height=height, seconds=seconds)
    return plot


def _seconds(story: Story) -> int:
    return max(1, int(story.ended - story.started) + 1)


def _shade(plot: go.Figure, begin: float, end: float) -> None:
    plot.add_vrect(
        x0=begin, x1=end, fillcolor="#C0392B", opacity=0.10, line_width=0, row="all", col=1, layer="below"
    )
    plot.add_annotation(
        x=(begin + end) / 2,
        y=1,
        yref="y domain",
        yanchor="top",
        text="courier down",
        showarrow=False,
        font={"size": 11, "color": "#8E2A1E"},
    )


def _flow(plot: go.Figure, story: Story, row: int) -> None:
    seconds = _seconds(story)
    clock = list(range(seconds))
    arrivals = per_second(
        (sent.ended for sent in story.sent if sent.status == 202), start=story.started, seconds=seconds
    )
    delivered = per_second(
        (call.ended for call in story.calls if call.outcome is Outcome.DELIVERED),
        start=story.started,
        seconds=seconds,
    )
    for name, values, ink in (("accepted", arrivals, "arrivals"), ("delivered", delivered, "deliveries")):
        plot.add_scatter(
            x=clock,
            y=values,
            name=name,
            mode="lines",
            line={"color": INK[ink], "width": 2, "shape": "hv"},
            fill="tozeroy" if ink == "arrivals" else None,
            fillcolor="rgba(0, 114, 178, 0.10)",
            legend=_legend(row),
            row=row,
            col=1,
        )
    plot.add_scatter(
        x=[0, seconds],
        y=[story.capacity, story.capacity],
        name="what the courier can deliver",
        mode="lines",
        line={"color": "#5B6B78", "width": 1, "dash": "dash"},
        hoverinfo="skip",
        legend=_legend(row),
        row=row,
        col=1,
    )


def _depth(plot: go.Figure, story: Story, row: int) -> None:
    clock = [depth.at - story.started for depth in story.depths]
    series: tuple[tuple[str, str, Sequence[int]], ...] = (
        ("to be received", "visible", [depth.visible for depth in story.depths]),
        ("under way, or to come back", "in flight", [depth.in_flight for depth in story.depths]),
    )
    for name, ink, values in series:
        plot.add_scatter(
            x=clock,
            y=values,
            name=name,
            mode="lines",
            stackgroup="waiting",
            line={"width": 0.8, "color": INK[ink], "shape": "hv"},
            fillcolor=INK[ink],
            legend=_legend(row),
            row=row,
            col=1,
        )
    plot.add_scatter(
        x=clock,
        y=[depth.dead for depth in story.depths],
        name="dead-lettered",
        mode="lines",
        line={"color": INK["dead"], "width": 2, "dash": "dot", "shape": "hv"},
        legend=_legend(row),
        row=row,
        col=1,
    )


def _calls(plot: go.Figure, story: Story, row: int) -> None:
    seconds = _seconds(story)
    clock = [second + 0.5 for second in range(seconds)]
    for outcome in Outcome:
        moments = [call.at for call in story.calls if call.outcome is outcome]
        if moments:
            plot.add_bar(
                x=clock,
                y=per_second(moments, start=story.started, seconds=seconds),
                name=_CALL_NAMES[outcome],
                marker={"color": INK[outcome], "line": {"width": 0}},
                width=1,
                legend=_legend(row),
                row=row,
                col=1,
            )


def _circuit(plot: go.Figure, story: Story, row: int) -> None:
    lanes = (("queue fed", story.feeding), ("circuit", story.circuit))
    longest = _seconds(story)
    for passing in Passing:
        spans = [(lane, span) for lane, found in lanes for span in found if span.passing is passing]
        if spans:
            plot.add_bar(
                orientation="h",
                y=[lane for lane, _ in spans],
                base=[span.begin - story.started for _, span in spans],
                x=[span.end - span.begin for _, span in spans],
                name=passing.value,
                # A word needs room; what is too short for it has its colour.
                text=[
                    span.name.replace("_", " ").lower()
                    if span.end - span.begin > _WORD * len(span.name) * longest
                    else ""
                    for _, span in spans
                ],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"size": 11, "color": "white"},
                marker={"color": INK[passing], "line": {"width": 0}},
                width=0.7,
                legend=_legend(row),
                row=row,
                col=1,
            )
    plot.update_yaxes(categoryorder="array", categoryarray=[lane for lane, _ in lanes], row=row, col=1)


def _times(plot: go.Figure, story: Story, row: int) -> None:
    accepted = {sent.correlation_id: sent.ended for sent in story.sent if sent.status == 202}
    points = [
        (accepted[call.correlation_id] - story.started, max(0.01, call.ended - accepted[call.correlation_id]))
        for call in story.calls
        if call.outcome is Outcome.DELIVERED and call.correlation_id in accepted
    ]
    plot.add_scatter(
        x=[at for at, _ in points],
        y=[took for _, took in points],
        mode="markers",
        name="an order, at the time it was accepted",
        marker={"color": INK["deliveries"], "size": 5, "opacity": 0.65},
        legend=_legend(row),
        row=row,
        col=1,
    )


_PANELS = (
    Panel("Orders accepted and delivered, per second", 190, _flow),
    Panel("Messages waiting, and dead-lettered", 200, _depth),
    Panel("Calls to the courier by outcome, per second", 200, _calls),
    Panel("The courier's circuit, and how the consumer was fed", 84, _circuit),
    Panel("Seconds from accepted to delivered, order by order", 190, _times),
)
_GAP = 66
"""Pixels between two panels, for the title and the ticks."""
_WORD = 0.008
"""The share of the width that a letter takes."""


def _legend(row: int) -> str:
    return "legend" if row == 1 else f"legend{row}"


def _dress(plot: go.Figure, panels: Sequence[Panel], *, height: int, seconds: int) -> None:
    pages.undecorate(
        plot,
        height=height,
        last=seconds,
        margin={"l": 62, "r": 12, "t": 34, "b": 46},
        barmode="stack",
        bargap=0,
    )
    plot.update_xaxes(title_text="seconds since the first request", row=len(panels), col=1)
    for row in range(1, len(panels) + 1):
        top = plot.get_subplot(row, 1).yaxis.domain[1]
        plot.update_layout(
            {
                _legend(row): {
                    "x": 1,
                    "xanchor": "right",
                    "y": top + 0.004,
                    "yanchor": "bottom",
                    "orientation": "h",
                    "font": {"size": 11.5},
                    "bgcolor": "rgba(255,255,255,0)",
                    "traceorder": "normal",
                }
            }
        )
