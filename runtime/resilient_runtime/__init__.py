"""What runs inside Lambda: pure decisions, thin stores and the entry point.

``from resilient_runtime import Reject, Call`` is all that a handler needs. The names are resolved when they
are first used (PEP 562), and nothing on the import path is more than a small part of the standard library:
a cold start is paid for by every first caller.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .breaker import Breaker, BreakerPolicy
    from .call import Call, UnknownDownstream, add_correlation_id, current_call, current_correlation_id
    from .circuit_open import CircuitOpen
    from .client import SendFailed, StorageFirstClient
    from .configured import ConfigurationUnavailable, UnknownConfiguration, configuration
    from .connections import Connections, PoolExhausted
    from .health.callbacks import keep_in_tmp, on_recycle
    from .interruption import DeadlineExceeded
    from .reject import Reject
    from .retries import GaveUp, Retry, RetryBudget
    from .slow_down import SlowDown
    from .stores.circuits import DynamoDBCircuits

__all__ = [
    "Breaker",
    "BreakerPolicy",
    "Call",
    "CircuitOpen",
    "ConfigurationUnavailable",
    "Connections",
    "DeadlineExceeded",
    "DynamoDBCircuits",
    "GaveUp",
    "PoolExhausted",
    "Reject",
    "Retry",
    "RetryBudget",
    "SendFailed",
    "SlowDown",
    "StorageFirstClient",
    "UnknownConfiguration",
    "UnknownDownstream",
    "add_correlation_id",
    "configuration",
    "current_call",
    "current_correlation_id",
    "keep_in_tmp",
    "on_recycle",
]

_HOMES = {
    "Breaker": "breaker",
    "BreakerPolicy": "breaker",
    "Call": "call",
    "CircuitOpen": "circuit_open",
    "ConfigurationUnavailable": "configured",
    "Connections": "connections",
    "DeadlineExceeded": "interruption",
    "DynamoDBCircuits": "stores.circuits",
    "GaveUp": "retries",
    "PoolExhausted": "connections",
    "Reject": "reject",
    "Retry": "retries",
    "RetryBudget": "retries",
    "SendFailed": "client",
    "SlowDown": "slow_down",
    "StorageFirstClient": "client",
    "UnknownConfiguration": "configured",
    "UnknownDownstream": "call",
    "add_correlation_id": "call",
    "configuration": "configured",
    "current_call": "call",
    "current_correlation_id": "call",
    "keep_in_tmp": "health.callbacks",
    "on_recycle": "health.callbacks",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
