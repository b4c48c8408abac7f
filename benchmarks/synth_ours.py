"""The chain with this library, and each construct alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    KinesisBisectConsumer,
    OnCall,
    ParallelWork,
    QueueStore,
    ResilientFunction,
    Route,
    StorageFirstApi,
    Work,
)

from .synth_apps import HANDLER, ORDER

__all__ = ["ONLY", "copy", "share"]


def share(stack: Stack) -> OnCall:
    """What all copies of a stack have in common."""
    return OnCall(stack, "OnCall", email="ops@example.com")


def copy(scope: Construct, name: str, on_call: OnCall) -> None:
    """One API → bus → queue → function."""
    here = Construct(scope, name)
    bus = FanOutBus(here, "Orders", on_call=on_call)
    store = bus.events(source="shop", detail_type="OrderPlaced")
    StorageFirstApi(here, "Api", routes=[Route.post("/orders", schema=ORDER, store=store)], on_call=on_call)
    handler = Handler.from_directory(HANDLER, "work.do")
    work = FlowControlledConsumer(here, "Work", handler=handler, max_concurrency=10, on_call=on_call)
    bus.subscribe("Work", work, detail_type=["OrderPlaced"])


def _function(scope: Construct, name: str, on_call: OnCall) -> None:
    ResilientFunction(scope, name, handler=Handler.from_directory(HANDLER, "work.do"), on_call=on_call)


def _api(scope: Construct, name: str, on_call: OnCall) -> None:
    store = _a_bus(scope).events(source="shop", detail_type="OrderPlaced")
    StorageFirstApi(scope, name, routes=[Route.post("/orders", schema=ORDER, store=store)], on_call=on_call)


def _api_to_queue(scope: Construct, name: str, on_call: OnCall) -> None:
    store = QueueStore(queue=_a_queue(scope))
    StorageFirstApi(scope, name, routes=[Route.post("/orders", schema=ORDER, store=store)], on_call=on_call)


def _consumer(scope: Construct, name: str, on_call: OnCall) -> None:
    handler = Handler.from_directory(HANDLER, "work.do")
    FlowControlledConsumer(scope, name, handler=handler, max_concurrency=10, on_call=on_call)


def _stream(scope: Construct, name: str, on_call: OnCall) -> None:
    handler = Handler.from_directory(HANDLER, "work.do")
    KinesisBisectConsumer(scope, name, handler=handler, on_call=on_call)


def _bus(scope: Construct, name: str, on_call: OnCall) -> None:
    bus = FanOutBus(scope, name, on_call=on_call)
    bus.subscribe("Work", _a_queue(scope), detail_type=["OrderPlaced"])


def _workflow(scope: Construct, name: str, on_call: OnCall) -> None:
    ocr, work = _called(scope)
    BreakerWorkflow(scope, name, work=work, downstream=ocr, on_call=on_call)


def _batches(scope: Construct, name: str, on_call: OnCall) -> None:
    ocr, work = _called(scope)
    ParallelWork(scope, name, work=work, downstream=ocr, on_call=on_call)


_CALLED: dict[Construct, tuple[Downstream, Work]] = {}
_BUSES: dict[Construct, FanOutBus] = {}
_QUEUES: dict[Construct, sqs.Queue] = {}


def _called(scope: Construct) -> tuple[Downstream, Work]:
    if scope not in _CALLED:
        handler = Handler.from_directory(HANDLER, "work.do")
        work = Work.function(ResilientFunction(scope, "Work", handler=handler))
        ocr = Downstream(scope, "Ocr", requests_per_second=10, breaker=BreakerPolicy())
        _CALLED[scope] = ocr, work
    return _CALLED[scope]


def _a_bus(scope: Construct) -> FanOutBus:
    if scope not in _BUSES:
        _BUSES[scope] = FanOutBus(scope, "Bus")
    return _BUSES[scope]


def _a_queue(scope: Construct) -> sqs.Queue:
    if scope not in _QUEUES:
        _QUEUES[scope] = sqs.Queue(scope, "Queue", enforce_ssl=True)
    return _QUEUES[scope]


ONLY: Mapping[str, Callable[[Construct, str, OnCall], None]] = {
    "ResilientFunction": _function,
    "StorageFirstApi": _api,
    "StorageFirstApiToQueue": _api_to_queue,
    "FlowControlledConsumer": _consumer,
    "FanOutBus": _bus,
    "BreakerWorkflow": _workflow,
    "ParallelWork": _batches,
    "KinesisBisectConsumer": _stream,
}
