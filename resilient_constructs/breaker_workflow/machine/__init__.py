"""The state machine of a breaker workflow: a pure function of plain values to Amazon States Language."""

from __future__ import annotations

from .definition import definition, transitions_of_success
from .plan import Constant, Kind, MachinePlan, Parking, PlatformRetry, RetryRule, WorkTask

__all__ = [
    "Constant",
    "Kind",
    "MachinePlan",
    "Parking",
    "PlatformRetry",
    "RetryRule",
    "WorkTask",
    "definition",
    "transitions_of_success",
]
