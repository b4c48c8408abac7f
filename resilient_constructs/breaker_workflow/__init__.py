"""A queue, a state machine around one call with retries and a breaker, and nothing dropped.

Names are resolved when they are first used (PEP 562): whoever reads the state machine's plan starts no Node.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .construct import BreakerWorkflow
    from .parallel import Items, ParallelWork
    from .retry import Parking, Retry
    from .work import Work

__all__ = ["BreakerWorkflow", "Items", "ParallelWork", "Parking", "Retry", "Work"]

_MODULES = {
    "BreakerWorkflow": "construct",
    "Items": "parallel.items",
    "ParallelWork": "parallel.construct",
    "Parking": "retry",
    "Retry": "retry",
    "Work": "work",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)
