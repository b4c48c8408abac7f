"""A batch of many items: each worked on like a workflow's work, so many at once, and none dropped.

Names are resolved when they are first used (PEP 562): whoever reads the state machine's plan starts no Node.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .construct import ParallelWork
    from .items import Items

__all__ = ["Items", "ParallelWork"]

_MODULES = {"Items": "items", "ParallelWork": "construct"}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)
