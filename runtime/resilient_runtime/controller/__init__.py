"""Keeps what feeds a downstream's consumers in step with the downstream's circuit."""

from __future__ import annotations

from .controller import Controller, Trigger
from .feeding import Feed, MappingState, Step, StepKind, decide, feed_of, feed_of_all
from .settings import ControllerSettings, FeedSettings

__all__ = [
    "Controller",
    "ControllerSettings",
    "Feed",
    "FeedSettings",
    "MappingState",
    "Step",
    "StepKind",
    "Trigger",
    "decide",
    "feed_of",
    "feed_of_all",
]
