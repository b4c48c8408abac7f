"""What the reports have in common: one HTML file that opens anywhere, with plotly's script in it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["embed", "items", "undecorate", "write"]

_FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
    "size": 12.5,
    "color": "#1D2B36",
}


def write(page: str, path: Path) -> None:
    """Write a page, and the folders on its way.

    :raises OSError: when the file cannot be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def embed(figure: go.Figure) -> str:
    """The figure as HTML; plotly's script is in it, nothing is fetched."""
    import plotly.io

    html: str = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=True,
        div_id="plots",
        config={"displayModeBar": False, "responsive": False},
    )
    return html


def items(texts: Iterable[str]) -> str:
    """A list of texts; nothing when there is none."""
    entries = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{entries}</ul>" if entries else ""


def undecorate(plot: go.Figure, *, height: int, last: float, **layout: Any) -> None:
    """The look of all pictures: the data, thin axes, and no more.

    :param height: in pixels. Fixed, as the width is: on paper the page is made smaller as a whole, and a
        figure that resizes itself would not fit
    :param last: where the x axis ends
    :param layout: what else plotly's layout is told
    """
    plot.update_layout(
        width=952,
        height=height,
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="x unified",
        font=_FONT,
        **layout,
    )
    plot.update_xaxes(
        showgrid=False, showline=True, linecolor="#C9D2DA", range=[0, last], zeroline=False, ticks="outside"
    )
    plot.update_yaxes(gridcolor="#E8EDF1", zeroline=False, rangemode="tozero", nticks=6)
    plot.update_annotations(
        selector={"xanchor": "center", "yanchor": "bottom"}, x=0, xanchor="left", font_size=14
    )
