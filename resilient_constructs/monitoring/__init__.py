"""Alarms that explain themselves, one dashboard per stack, and whom to tell."""

from __future__ import annotations

from .alarms import monitor
from .on_call import OnCall
from .signal import (
    Comparison,
    Lane,
    LogGroup,
    Math,
    Metric,
    MissingData,
    Panel,
    SavedQuery,
    Section,
    Severity,
    Signal,
)

__all__ = [
    "Comparison",
    "Lane",
    "LogGroup",
    "Math",
    "Metric",
    "MissingData",
    "OnCall",
    "Panel",
    "SavedQuery",
    "Section",
    "Severity",
    "Signal",
    "monitor",
]
