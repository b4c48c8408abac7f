"""The state machine of a batch: a pure function of plain values to Amazon States Language."""

from __future__ import annotations

from .definition import definition
from .faults import inline_waits
from .plan import BatchPlan, Given, Grouped, Read

__all__ = ["BatchPlan", "Given", "Grouped", "Read", "definition", "inline_waits"]
