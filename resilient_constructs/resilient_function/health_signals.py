"""What a function's execution environments tell of themselves: how full they are, and what cured them."""

from __future__ import annotations

from resilient_constructs.monitoring.signal import Math, Metric, Panel, Severity, Signal

from .runtime_metric import runtime_metric

__all__ = ["FULL", "full_above", "health_panel", "health_signal", "interrupted"]

FULL = 80.0
"""Percent of Lambda's limit from which an environment counts as full."""
_PERIODS, _DATAPOINTS = 5, 3

_FIGURES = {
    "descriptors": ("DescriptorsUsed", "open descriptors"),
    "memory": ("MemoryUsed", "memory"),
    "tmp": ("TmpUsed", "ephemeral storage"),
    "threads": ("ThreadsUsed", "threads and processes"),
}
"""By their ID in an expression: the metric's name and its label."""


_CURES = {
    "Cleaned": "environments cleaned up",
    "Recycled": "interpreters re-executed",
    "Exited": "environments ended",
    "Replaced": "all environments replaced",
}
"""The rungs of the ladder, from the mildest to the strongest, with their labels."""


def full_above(threshold: float) -> float:
    """Percent of Lambda's limit from which an environment is full although its cure began at ``threshold``.

    :param threshold: the share of the headroom from which it is cured
    """
    return max(FULL, round(100 * (1 + threshold) / 2))


def health_signal(function_name: str, full: float) -> Signal:
    """When an environment stays full although it was cleaned up and recycled.

    One alarm over the fullest of the four: which one it is stands on the dashboard and in the LEAK record.
    """
    return Signal(
        name="ContainerHealth",
        title="Environments run full",
        because=f"Descriptors, memory, /tmp or threads were at {full:g} % of Lambda's limit in three of five "
        "minutes. The runtime cleans up and recycles before that, so the cure did not help: read the LEAK "
        "records, they name what leaks. Memory alone and no LEAK: the function needs more memory_size.",
        metric=Math(
            expression=f"MAX([{', '.join(_FIGURES)}])",
            metrics=_figures(function_name),
            label="the fullest, % of Lambda's limit",
        ),
        threshold=full,
        severity=Severity.TICKET,
        periods=_PERIODS,
        datapoints=_DATAPOINTS,
    )


def health_panel(function_name: str, full: float) -> Panel:
    """How full the fullest environment is, and how often which cure was needed."""
    cures = tuple(runtime_metric(function_name, name, label=label) for name, label in _CURES.items())
    return Panel(
        title="How full environments are (% of Lambda's limits)",
        left=tuple(_figures(function_name).values()),
        right=cures,
        threshold=full,
    )


def interrupted(function_name: str) -> Metric:
    """How often the handler was interrupted before Lambda's timeout.

    No alarm of its own: an interrupted invocation is among the Errors, an interrupted message among the
    failing ones.
    """
    return runtime_metric(function_name, "DeadlineExceeded", label="interrupted before the timeout")


def _figures(function_name: str) -> dict[str, Metric]:
    return {
        name: runtime_metric(function_name, metric, statistic="Maximum", label=label)
        for name, (metric, label) in _FIGURES.items()
    }
