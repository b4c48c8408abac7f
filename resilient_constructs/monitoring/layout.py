"""The dashboard's JSON from sections, as a pure function: lanes side by side, left to right like the data.

::

    | Entry →        | Routing →      | Work           |   one heading per lane that has sections
    | alarms         | alarms         | alarms         |   is anything wrong, and where
    | Orders API     | Orders bus     | Delivery       |   each section: its name, then its graphs
    | graphs         | graphs         | graphs         |
    | what went wrong lately | what never came to an end | the story of one correlation id |

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .limits import GRID_COLUMNS, QUERY_LOG_GROUPS, WIDGET_ALARMS
from .queries import CORRELATION_ID, NEVER_COMPLETED, STORY, WENT_WRONG
from .signal import Lane, Section
from .widgets import alarm_widget, graph_widget, log_widget, text_widget

__all__ = ["Shown", "layout", "widget_count"]

_COLUMNS = int(GRID_COLUMNS.high or 0)
_GRAPH_COLUMNS = 6
_GRAPH_ROWS = 5
_HEADING_ROWS = 1
_LOG_ROWS = 6
_ALARM_COLUMNS = 3  # one alarm's chip, with the beginning of its name
_ALARMS_PER_WIDGET = int(WIDGET_ALARMS.high or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A section and the ARNs of the alarms that belong to it."""

    section: Section
    alarms: tuple[str, ...] = ()


def layout(shown: Sequence[Shown], *, title: str, region: str) -> dict[str, Any]:
    """The body of one dashboard.

    :param shown: sections in the order in which they were built; that order is kept within a lane
    :param title: what the dashboard is of, usually the stack's name
    :param region: where the metrics are; a token will do
    """
    lanes = [lane for lane in Lane if any(one.section.lane is lane for one in shown)]
    members = [[one for one in shown if one.section.lane is lane] for lane in lanes]
    columns = _columns(members)
    for lane, own, column in zip(lanes, members, columns, strict=True):
        column.add_heading(f"## {lane.name.capitalize()}{'' if lane is lanes[-1] else ' →'}")
        column.add_alarms([arn for one in own for arn in one.alarms])
    # the graphs of all lanes begin on one line, below the tallest list of alarms
    top = max((column.y for column in columns), default=_HEADING_ROWS)
    for own, column in zip(members, columns, strict=True):
        column.y = top
        for one in own:
            column.add_section(one.section, region)
    widgets = [
        text_widget(f"# {title}", x=0, y=0, width=_COLUMNS, height=_HEADING_ROWS),
        *(widget for column in columns for widget in column.widgets),
    ]
    bottom = max((column.y for column in columns), default=_HEADING_ROWS)
    # names alone by now: whoever shows a section has read those of the groups
    log_groups = [str(name) for one in shown for name in one.section.log_groups]
    body: dict[str, Any] = {"start": "-PT3H", "widgets": widgets}
    if log_groups:
        body["widgets"] = widgets + _logs(log_groups, y=bottom, region=region)
        body["variables"] = [_CORRELATION_ID_FIELD]
    return body


def widget_count(section: Section) -> int:
    """How many widgets a section adds at most: name, graphs, its lane's heading and alarms."""
    return len(section.panels) + 3


def _columns(members: Sequence[Sequence[Shown]]) -> list[_Column]:
    """A column per lane; what is left of the width goes to whichever lane is the tallest."""
    abreast = [1] * len(members)
    for _ in range(_COLUMNS // _GRAPH_COLUMNS - len(members)):
        heights = [_graph_rows(own, wide) for own, wide in zip(members, abreast, strict=True)]
        if heights:
            abreast[heights.index(max(heights))] += 1
    starts = [sum(abreast[:number]) for number in range(len(abreast))]
    return [
        _Column(x=start * _GRAPH_COLUMNS, abreast=wide, y=_HEADING_ROWS)
        for start, wide in zip(starts, abreast, strict=True)
    ]


def _graph_rows(own: Sequence[Shown], abreast: int) -> int:
    return sum(-(-len(one.section.panels) // abreast) for one in own)


class _Column:
    """The widgets of one lane, put below each other."""

    def __init__(self, *, x: int, abreast: int, y: int) -> None:
        self.x, self.abreast, self.y = x, abreast, y
        self.width = abreast * _GRAPH_COLUMNS
        self.widgets: list[dict[str, Any]] = []

    def add_heading(self, markdown: str) -> None:
        self.widgets.append(text_widget(markdown, x=self.x, y=self.y, width=self.width, height=_HEADING_ROWS))
        self.y += _HEADING_ROWS

    def add_alarms(self, arns: Sequence[str]) -> None:
        for start in range(0, len(arns), _ALARMS_PER_WIDGET):
            some = arns[start : start + _ALARMS_PER_WIDGET]
            height = 1 + -(-len(some) // (self.width // _ALARM_COLUMNS))
            self.widgets.append(alarm_widget(some, x=self.x, y=self.y, width=self.width, height=height))
            self.y += height

    def add_section(self, section: Section, region: str) -> None:
        self.add_heading(f"### {section.title}")
        for number, panel in enumerate(section.panels):
            row, place = divmod(number, self.abreast)
            x, y = self.x + place * _GRAPH_COLUMNS, self.y + row * _GRAPH_ROWS
            self.widgets.append(
                graph_widget(panel, x=x, y=y, width=_GRAPH_COLUMNS, height=_GRAPH_ROWS, region=region)
            )
        self.y += -(-len(section.panels) // self.abreast) * _GRAPH_ROWS


# What is typed here replaces the placeholder in every query of the dashboard.
_CORRELATION_ID_FIELD = {
    "type": "pattern",
    "pattern": CORRELATION_ID,
    "inputType": "input",
    "id": "correlationId",
    "label": "Correlation ID",
    "defaultValue": CORRELATION_ID,
    "visible": True,
}


def _logs(log_groups: Sequence[str], *, y: int, region: str) -> list[dict[str, Any]]:
    groups = log_groups[: int(QUERY_LOG_GROUPS.high or 0)]
    half = _COLUMNS // 2
    heading = text_widget("## Logs", x=0, y=y, width=_COLUMNS, height=_HEADING_ROWS)
    y += _HEADING_ROWS
    return [
        heading,
        log_widget(WENT_WRONG, groups, x=0, y=y, width=half, height=_LOG_ROWS, region=region),
        log_widget(NEVER_COMPLETED, groups, x=half, y=y, width=half, height=_LOG_ROWS, region=region),
        log_widget(STORY, groups, x=0, y=y + _LOG_ROWS, width=_COLUMNS, height=_LOG_ROWS, region=region),
    ]
