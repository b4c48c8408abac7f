"""A stream, what feeds its records to a function in order, and a store for those that cannot be done."""

from __future__ import annotations

from .choices import OnPoison
from .construct import KinesisBisectConsumer

__all__ = ["KinesisBisectConsumer", "OnPoison"]
