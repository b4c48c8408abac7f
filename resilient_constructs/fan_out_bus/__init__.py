"""An event bus with an archive, on which every consumer has a queue of its own."""

from __future__ import annotations

from .construct import FanOutBus
from .subscription import Subscription

__all__ = ["FanOutBus", "Subscription"]
