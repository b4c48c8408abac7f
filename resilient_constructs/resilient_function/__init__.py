"""A Lambda function that runs the user's handler through our universal entry point.

Names are resolved when they are first used (PEP 562): reading a handler starts no Node process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilient_constructs.runtime_layer import RuntimeLayer

    from .configuration import Parameter, Secret
    from .construct import ResilientFunction
    from .handler import Handler
    from .health import ContainerHealth
    from .idempotency import Idempotency
    from .redaction import Redaction
    from .signals import async_signals, function_panels, function_section, function_signals

__all__ = [
    "ContainerHealth",
    "Handler",
    "Idempotency",
    "Parameter",
    "Redaction",
    "ResilientFunction",
    "RuntimeLayer",
    "Secret",
    "async_signals",
    "function_panels",
    "function_section",
    "function_signals",
]

_MODULES = {
    "ContainerHealth": "health",
    "Handler": "handler",
    "Idempotency": "idempotency",
    "Parameter": "configuration",
    "Redaction": "redaction",
    "ResilientFunction": "construct",
    "RuntimeLayer": ".runtime_layer",
    "Secret": "configuration",
    "async_signals": "signals",
    "function_panels": "signals",
    "function_section": "signals",
    "function_signals": "signals",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)
