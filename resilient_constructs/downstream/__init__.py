"""What lies beyond a scalability boundary, declared once and shared by every consumer that calls it."""

from __future__ import annotations

from .breaker import BreakerPolicy
from .circuits import Circuits
from .construct import Downstream, pause_source
from .controller import CircuitController

__all__ = ["BreakerPolicy", "CircuitController", "Circuits", "Downstream", "pause_source"]
