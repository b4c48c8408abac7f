"""Whole templates, so that no change of what is deployed goes unseen; and the IDs that hold data.

``pytest --snapshot-update`` writes the new state; read its diff like code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs
from configured_consumer import configure
from example_templates import TEMPLATES
from guarded_consumer import guard
from shedding_consumer import shed
from stream_consumers import follow, stream
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from resilient_constructs import (
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    KinesisBisectConsumer,
    OnCall,
    ResilientFunction,
    Route,
    StorageFirstApi,
)
from resilient_constructs.testing import snapshot_of

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "delivery"
HANDLER = Handler.from_directory(str(HANDLERS), "delivery.deliver")

STATEFUL = {
    "AWS::DynamoDB::Table",
    "AWS::Events::Archive",
    "AWS::Events::EventBus",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
}
"""A changed logical ID of one of these deletes what it holds: breaking, and told in CHANGELOG.md."""


def a_function(stack: Stack) -> None:
    """``ResilientFunction``, minimal."""
    ResilientFunction(stack, "Worker", handler=HANDLER)


def an_asynchronous_function(stack: Stack) -> None:
    """``ResilientFunction`` for asynchronous events."""
    ResilientFunction(stack, "Worker", handler=HANDLER, asynchronous=True)


def an_api_to_a_queue(stack: Stack) -> None:
    """``StorageFirstApi`` that stores in a queue."""
    queue = sqs.Queue(stack, "Queue")
    StorageFirstApi(stack, "Api", routes=[Route.post("/orders", schema={"type": "object"}, store=queue)])


def a_consumer(stack: Stack) -> None:
    """``FlowControlledConsumer``, minimal."""
    FlowControlledConsumer(stack, "Delivery", handler=HANDLER)


def a_fifo_consumer(stack: Stack) -> None:
    """``FlowControlledConsumer`` with a queue that keeps the order."""
    courier = Downstream(stack, "Courier", connections=20)
    FlowControlledConsumer(
        stack, "Delivery", handler=HANDLER, downstream=courier, fifo=True, max_concurrency=5
    )


def a_consumer_with_a_breaker(stack: Stack) -> None:
    """``FlowControlledConsumer`` of a downstream with a breaker: table, controller and what feeds it."""
    guard(stack, handler=HANDLER)


def a_configured_consumer(stack: Stack) -> None:
    """``FlowControlledConsumer`` with everything that needs a grant of its own."""
    configure(stack, handler=HANDLER)


def a_shedding_consumer(stack: Stack) -> None:
    """``FlowControlledConsumer`` with an archive for what is too old, and an urgent lane."""
    shed(stack, handler=HANDLER)


def a_stream_consumer(stack: Stack) -> None:
    """``KinesisBisectConsumer``, minimal."""
    KinesisBisectConsumer(stack, "Orders", handler=HANDLER)


def a_stream_consumer_that_parks(stack: Stack) -> None:
    """``KinesisBisectConsumer`` with everything that is a resource of its own."""
    stream(stack, handler=HANDLER)


def a_table_consumer(stack: Stack) -> None:
    """``KinesisBisectConsumer`` of a table's stream."""
    follow(stack, handler=HANDLER)


def a_bus(stack: Stack) -> None:
    """``FanOutBus`` with one subscription."""
    bus = FanOutBus(stack, "Orders")
    bus.subscribe("Work", sqs.Queue(stack, "Queue"), detail_type=["OrderPlaced"])


def on_call(stack: Stack) -> None:
    """``OnCall`` with tickets of their own."""
    OnCall(stack, "OnCall", email="ops@example.com", ticket_email="team@example.com")


BUILDS: dict[str, Callable[[Stack], None]] = {
    build.__name__: build
    for build in (
        a_function,
        an_asynchronous_function,
        an_api_to_a_queue,
        a_consumer,
        a_fifo_consumer,
        a_consumer_with_a_breaker,
        a_configured_consumer,
        a_shedding_consumer,
        a_stream_consumer,
        a_stream_consumer_that_parks,
        a_table_consumer,
        a_bus,
        on_call,
    )
}


def built(name: str) -> dict[str, Any]:
    """The template of a construct's minimal use."""
    stack = Stack(App(), "Shop")
    BUILDS[name](stack)
    return snapshot_of(stack)


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Snapshots as JSON, a file each: they are read as templates and not as Python."""
    return snapshot.use_extension(JSONSnapshotExtension)


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_examples_template_is_as_it_was(name: str, snapshot: SnapshotAssertion) -> None:
    """What an example deploys changes on purpose only."""
    assert snapshot_of(TEMPLATES[name]()) == snapshot


@pytest.mark.parametrize("name", BUILDS)
def test_a_constructs_template_is_as_it_was(name: str, snapshot: SnapshotAssertion) -> None:
    """What a construct makes by default changes on purpose only."""
    assert built(name) == snapshot


PINNED = {
    "Courier": [
        "ApiAccessLog713001CC",
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
        "OnCallTopic2FB15ED5",
        "OrdersArchiveE22F4F05",
        "OrdersBusEC605DBA",
        "OrdersDeliveryUndelivered7B30FC6B",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
    ],
}


PINNED_CONSTRUCTS = {
    "a_function": ["WorkerLogGroup67ABCFFE"],
    "an_asynchronous_function": ["WorkerLogGroup67ABCFFE", "WorkerOnFailureQueueFA49C10A"],
    "an_api_to_a_queue": ["ApiAccessLog713001CC", "Queue4A7E3555"],
    "a_consumer": [
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
    ],
    "a_fifo_consumer": [
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
    ],
    "a_consumer_with_a_breaker": [
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
    ],
    "a_configured_consumer": [
        "CourierKey6202B3C2",
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionIdempotency8BC1A485",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
        "Key961B73FD",
    ],
    "a_shedding_consumer": [
        "DeliveryArchive6FBA7575",
        "DeliveryDeadLetterQueue7D230F16",
        "DeliveryFunctionLogGroup34ECB53C",
        "DeliveryQueue6A0D8ED9",
        "DeliveryUrgentQueueE0CFC477",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
    ],
    "a_stream_consumer": [
        "OrdersFunctionLogGroup25A28103",
        "OrdersPoisonBucket6FD9567D",
        "OrdersPoisonQueue4C10251D",
        "OrdersResolverDeadLetterQueue35608915",
        "OrdersResolverDiscardedQueue00CA86DF",
        "OrdersResolverLogGroup55AF63B8",
        "OrdersStream160EEBFB",
    ],
    "a_stream_consumer_that_parks": [
        "OrdersFunctionLogGroup25A28103",
        "OrdersParkedKeys91FCBDCE",
        "OrdersPoisonBucket6FD9567D",
        "OrdersPoisonQueue4C10251D",
        "OrdersResolverDeadLetterQueue35608915",
        "OrdersResolverDiscardedQueue00CA86DF",
        "OrdersResolverLogGroup55AF63B8",
        "OrdersStream160EEBFB",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
    ],
    "a_table_consumer": [
        "Items5C12978B",
        "OrdersFunctionLogGroup25A28103",
        "OrdersPoisonBucket6FD9567D",
        "OrdersPoisonQueue4C10251D",
        "OrdersResolverDeadLetterQueue35608915",
        "OrdersResolverDiscardedQueue00CA86DF",
        "OrdersResolverLogGroup55AF63B8",
    ],
    "a_bus": ["OrdersArchiveE22F4F05", "OrdersBusEC605DBA", "OrdersWorkUndelivered47A8A2E0", "Queue4A7E3555"],
    "on_call": ["OnCallTicketTopicCD05E1DD", "OnCallTopic2FB15ED5"],
}


def stateful(template: dict[str, Any]) -> list[str]:
    """The logical IDs of what holds data."""
    return sorted(name for name, part in template["Resources"].items() if part["Type"] in STATEFUL)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_holds_data_keeps_its_logical_id_in_an_example(name: str) -> None:
    """A changed logical ID of a queue, a bus, a topic, a log group or an archive is a breaking change."""
    assert stateful(TEMPLATES[name]()) == PINNED[name]


@pytest.mark.parametrize("name", BUILDS)
def test_what_holds_data_keeps_its_logical_id_in_a_construct(name: str) -> None:
    """As in the examples: these IDs are API forever."""
    assert stateful(built(name)) == PINNED_CONSTRUCTS[name]
