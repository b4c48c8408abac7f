"""A circuit breaker whose state all execution environments share."""

from __future__ import annotations

from resilient_runtime.circuit_open import CircuitOpen

from .boundary import GuardedBoundary
from .breaker import Breaker
from .circuit import Circuit, CircuitState, Lease
from .orders import order
from .policy import BreakerPolicy
from .store import CircuitStore, MemoryCircuits, Record, Written
from .view import Transition

__all__ = [
    "Breaker",
    "BreakerPolicy",
    "Circuit",
    "CircuitOpen",
    "CircuitState",
    "CircuitStore",
    "GuardedBoundary",
    "Lease",
    "MemoryCircuits",
    "Record",
    "Transition",
    "Written",
    "order",
]
