"""What lies beyond a scalability boundary, declared once and shared by every consumer that calls it."""

from __future__ import annotations

from .construct import Downstream

__all__ = ["Downstream"]
