"""What a construct emits and what may wake someone, as data: a metric, a signal, a widget.

Nothing here knows the CDK: the rooms declare their signals in ``signals.py``, tests read them as plain
values, ``alarms.py`` and ``dashboard.py`` turn them into CloudFormation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

__all__ = [
    "Comparison",
    "Lane",
    "LogGroup",
    "Math",
    "Metric",
    "MissingData",
    "Panel",
    "SavedQuery",
    "Section",
    "Severity",
    "Signal",
]


class Severity(StrEnum):
    """How loudly a signal speaks."""

    PAGE = "page"
    """Someone gets up now: work is being lost or has stopped."""
    TICKET = "ticket"
    """Someone looks in working hours: it will become a page if nobody does."""


class Comparison(StrEnum):
    """CloudWatch's words for how a metric is held against the threshold."""

    AT_LEAST = "GreaterThanOrEqualToThreshold"
    ABOVE = "GreaterThanThreshold"
    AT_MOST = "LessThanOrEqualToThreshold"
    BELOW = "LessThanThreshold"


class MissingData(StrEnum):
    """What a period without data means, in CloudWatch's words."""

    NOT_BREACHING = "notBreaching"
    BREACHING = "breaching"
    IGNORE = "ignore"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One CloudWatch metric.

    :param namespace: ``AWS/SQS`` and the like
    :param name: the metric's name in that namespace
    :param dimensions: at least one; a metric without dimensions never has data for a single resource
    :param statistic: ``Sum``, ``Maximum``, ``p99`` …
    :param period: seconds over which one data point is taken
    :param label: how a graph calls it. Default: the metric's name
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"
    period: int = 60
    label: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Math:
    """A metric-math expression over named metrics.

    :param expression: CloudWatch metric math, for example ``started - completed``
    :param metrics: the metrics by the lower-case id that the expression uses
    :param label: how a graph and the alarm call the result
    :param period: seconds over which one data point is taken
    """

    expression: str
    metrics: Mapping[str, Metric]
    label: str
    period: int = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """A metric, what it means, and when it should wake someone.

    :param name: the alarm's construct ID, in PascalCase: ``OldestMessageAge``
    :param title: what happened, in a few words, as the first line of a page at night
    :param because: why this matters and what to do about it; goes into the alarm's description
    :param metric: what is measured
    :param threshold: the value it is held against
    :param comparison: how it is held against it. Default: at least the threshold
    :param periods: over how many data points it is judged. Default: one
    :param datapoints: how many of those must breach. Default: all
    :param missing: what no data means. Default: all is well
    :param warm_up: minutes in which a new alarm waits for its first data, and ends early when it has them.
        Default: it is judged at once
    :param severity: how loudly it speaks
    """

    name: str
    title: str
    because: str
    metric: Metric | Math
    threshold: float
    severity: Severity
    comparison: Comparison = Comparison.AT_LEAST
    periods: int = 1
    datapoints: int | None = None
    missing: MissingData = MissingData.NOT_BREACHING
    warm_up: int | None = None


class Lane(IntEnum):
    """Where in the data flow a section stands; the dashboard puts lanes side by side, left to right."""

    ENTRY = 0
    ROUTING = 1
    WORK = 2
    DOWNSTREAM = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One graph of a dashboard.

    :param title: what the graph answers
    :param left: metrics on the left axis
    :param right: metrics on the right axis
    :param threshold: a line to draw, usually the alarm's threshold
    """

    title: str
    left: tuple[Metric | Math, ...]
    right: tuple[Metric | Math, ...] = ()
    threshold: float | None = None
    stacked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedQuery:
    """A CloudWatch Logs Insights query that answers one question.

    :param name: the question, as it stands in the list of saved queries
    :param query: Logs Insights text
    """

    name: str
    query: str


class LogGroup(Protocol):
    """A log group of the CDK, as far as its name goes."""

    @property
    def log_group_name(self) -> str:
        """The name; each one that is asked for costs a round trip to Node."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What one construct puts on its stack's dashboard.

    :param title: the construct's name, as its user gave it
    :param lane: its place in the data flow
    :param panels: its graphs, top to bottom
    :param log_groups: the log groups that the stack's saved queries search. A name, or the group itself,
        whose name is then read together with all others
    :param queries: what the stack saves besides, over the log groups of all sections that ask for it, by
        construct ID
    """

    title: str
    lane: Lane
    panels: tuple[Panel, ...]
    log_groups: tuple[str | LogGroup, ...] = field(default=())
    queries: Mapping[str, SavedQuery] = field(default_factory=dict)
