"""A queue, its dead-letter queue and a function that takes from it no faster than its downstream can bear."""

from __future__ import annotations

from .construct import FlowControlledConsumer
from .lanes import Lane, UrgentLane

__all__ = ["FlowControlledConsumer", "Lane", "UrgentLane"]
