"""Connections that outlive an invocation, and are none the worse for it."""

from __future__ import annotations

from .connections import Connections
from .pool import Pool, PoolExhausted

__all__ = ["Connections", "Pool", "PoolExhausted"]
