"""The apps that are compared: one chain built with this library, with plain L2, with Solutions Constructs.

Each takes a POST, stores it, carries it over a queue to a function, with dead-letter queues, alarms that tell
an SNS topic, and a dashboard. Solutions Constructs have neither bus nor alarms; their figures are shown, not
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from aws_cdk import App, Stack
from constructs import Construct

from resilient_constructs.testing import JsiiCount

__all__ = ["APPS", "CONSTRUCTS", "load"]

HANDLER = str(Path(__file__).parent / "handler")
# a stack may have 500 resources; five copies of the largest chain stay below that
COPIES_PER_STACK = 5
ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string", "minLength": 1, "maxLength": 64}},
    "required": ["order_id"],
}

CONSTRUCTS = (
    "ResilientFunction",
    "StorageFirstApi",
    "StorageFirstApiToQueue",
    "FlowControlledConsumer",
    "FanOutBus",
    "BreakerWorkflow",
    "ParallelWork",
    "KinesisBisectConsumer",
)
Build = Callable[[App, int, JsiiCount], int]
Shared = Callable[[Stack], object]
Copy = Callable[[Construct, str, object], None]


def load(app: str) -> None:
    """Import what an app uses; imports are not what is compared."""
    if app == "plain":
        import_module(".synth_plain", __package__)
    elif app == "solutions":
        import_module(".synth_solutions", __package__)
    else:
        import_module(".synth_ours", __package__)


def _chain(room: str) -> Build:
    def build(app: App, copies: int, requests: JsiiCount) -> int:
        module = import_module(f".{room}", __package__)
        last = 0
        for first in range(0, copies, COPIES_PER_STACK):
            stack = Stack(app, f"Stack{first}")
            shared = module.share(stack)
            for number in range(first, min(first + COPIES_PER_STACK, copies)):
                before = requests.count
                module.copy(stack, f"Copy{number}", shared)
                last = requests.count - before
        return last

    return build


def _only(name: str) -> Build:
    def build(app: App, copies: int, requests: JsiiCount) -> int:
        from . import synth_ours

        stack = Stack(app, "Stack")
        shared = synth_ours.share(stack)
        last = 0
        for number in range(copies):
            before = requests.count
            synth_ours.ONLY[name](stack, f"Copy{number}", shared)
            last = requests.count - before
        return last

    return build


APPS: Mapping[str, Build] = {
    "ours": _chain("synth_ours"),
    "plain": _chain("synth_plain"),
    "solutions": _chain("synth_solutions"),
    **{f"only:{name}": _only(name) for name in CONSTRUCTS},
}
