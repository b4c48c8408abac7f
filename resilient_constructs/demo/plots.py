"""The pictures of a run: four panels over one clock, the outage shaded through all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from resilient_constructs import pages

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
_TITLES = (
    "Orders accepted and delivered, per second",
    "Messages waiting, and dead-lettered",
    "Calls to the courier by outcome, per second",
    "Seconds from accepted to delivered, order by order",
)
_HEIGHTS = (0.24, 0.26, 0.26, 0.24)
_GAP = 0.075


def per_second(moments: Iterable[float], *, start: float, seconds: int) -> list[int]:
    """How many of the moments fall into each second after the start; what lies outside is left out."""
    counts = Counter(int(moment - start) for moment in moments if moment >= start)
    return [counts[second] for second in range(seconds)]


def figure(story: Story) -> go.Figure:
    """All four panels."""
    seconds = max(1, int(story.ended - story.started) + 1)
    plot = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=_GAP,
        row_heights=list(_HEIGHTS),
        subplot_titles=_TITLES,
    )
    _flow(plot, story, seconds)
    _depth(plot, story)
    _calls(plot, story, seconds)
    _times(plot, story)
    for begin, end in story.outages:
        plot.add_vrect(
            x0=begin - story.started,
            x1=end - story.started,
            fillcolor="#C0392B",
            opacity=0.10,
            line_width=0,
            row="all",
            col=1,
        )
        plot.add_annotation(
            x=(begin + end) / 2 - story.started,
            y=1,
            yref="y domain",
            yanchor="top",
            text="courier down",
            showarrow=False,
            font={"size": 11, "color": "#8E2A1E"},
        )
    _dress(plot, seconds)
    return plot


def _flow(plot: go.Figure, story: Story, seconds: int) -> None:
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
            legend="legend",
            row=1,
            col=1,
        )
    plot.add_scatter(
        x=[0, seconds],
        y=[story.capacity, story.capacity],
        name="what the courier can deliver",
        mode="lines",
        line={"color": "#5B6B78", "width": 1, "dash": "dash"},
        hoverinfo="skip",
        legend="legend",
        row=1,
        col=1,
    )


def _depth(plot: go.Figure, story: Story) -> None:
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
            legend="legend2",
            row=2,
            col=1,
        )
    plot.add_scatter(
        x=clock,
        y=[depth.dead for depth in story.depths],
        name="dead-lettered",
        mode="lines",
        line={"color": INK["dead"], "width": 2, "dash": "dot", "shape": "hv"},
        legend="legend2",
        row=2,
        col=1,
    )


def _calls(plot: go.Figure, story: Story, seconds: int) -> None:
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
                legend="legend3",
                row=3,
                col=1,
            )


def _times(plot: go.Figure, story: Story) -> None:
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
        legend="legend4",
        row=4,
        col=1,
    )


def _dress(plot: go.Figure, seconds: int) -> None:
    pages.undecorate(
        plot,
        height=980,
        last=seconds,
        margin={"l": 52, "r": 12, "t": 34, "b": 46},
        barmode="stack",
        bargap=0,
    )
    plot.update_xaxes(title_text="seconds since the first request", row=4, col=1)
    free = 1 - 3 * _GAP
    top = 1.0
    for number, share in enumerate(_HEIGHTS, start=1):
        name = "legend" if number == 1 else f"legend{number}"
        plot.update_layout(
            {
                name: {
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
        top -= share * free + _GAP
