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
from breaker_workflows import orchestrate
from configured_consumer import configure
from example_templates import TEMPLATES
from guarded_consumer import guard
from parallel_works import fan_out
from shedding_consumer import shed
from stream_consumers import follow, stream
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from resilient_constructs import (
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    KinesisBisectConsumer,
    OnCall,
    ResilientFunction,
    Route,
    StorageFirstApi,
    Work,
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


def a_workflow(stack: Stack) -> None:
    """``BreakerWorkflow``, minimal."""
    BreakerWorkflow(stack, "Analyse", work=Work.function(ResilientFunction(stack, "Worker", handler=HANDLER)))


def workflows_of_all_kinds(stack: Stack) -> None:
    """``BreakerWorkflow`` with a breaker, with what starts it, Express and nested."""
    orchestrate(stack, handler=HANDLER)


def batches(stack: Stack) -> None:
    """``ParallelWork``, inline behind a breaker, and distributed over an object."""
    fan_out(stack, handler=HANDLER)


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
        a_workflow,
        workflows_of_all_kinds,
        batches,
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
    "Documents": [
        "AnalyseDeadLetterQueue46EE0FDB",
        "AnalyseLogGroupC50FEB87",
        "AnalyseParkedQueue19B87E26",
        "AnalyseQueue27BF2D0B",
        "AnalyseStarterLogGroup512A11F2",
        "CollectDeadLetterQueue69C00296",
        "CollectFunctionLogGroup0FBFE829",
        "CollectQueueEB148797",
        "Documents7E5B2978",
        "EventsAnalyseUndelivered6AA12C78",
        "EventsCollectFailedUndeliveredC857D4B4",
        "EventsCollectUndelivered112685DE",
        "EventsSplitUndelivered8F709F2B",
        "OnCallTopic2FB15ED5",
        "Progress46A8DAB4",
        "ReaderLogGroup9E4B6423",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
        "ResilientClaims45FE4E6F",
        "SplitDeadLetterQueueB307AB96",
        "SplitFunctionLogGroup01BBA8A3",
        "SplitQueueC6500B55",
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
    "a_workflow": [
        "AnalyseDeadLetterQueue46EE0FDB",
        "AnalyseLogGroupC50FEB87",
        "AnalyseQueue27BF2D0B",
        "AnalyseStarterLogGroup512A11F2",
        "ResilientClaims45FE4E6F",
        "WorkerLogGroup67ABCFFE",
    ],
    "workflows_of_all_kinds": [
        "AnalyseDeadLetterQueue46EE0FDB",
        "AnalyseLogGroupC50FEB87",
        "AnalyseParkedQueue19B87E26",
        "AnalyseQueue27BF2D0B",
        "AnalyseStarterLogGroup512A11F2",
        "CallDeadLetterQueue5983BFAA",
        "CallLogGroupE10C0DE9",
        "CallQueueB902D51C",
        "CallStarterLogGroupAE343AC7",
        "InsteadBD1F4B4D",
        "NestedDeadLetterQueue363562F9",
        "NestedLogGroup3E5D3074",
        "NestedQueue393264F5",
        "NestedStarterLogGroup80B4F481",
        "PagesAnalyseUndelivered9FA662FC",
        "PagesArchive1517573D",
        "PagesBusFE59DC33",
        "ReaderLogGroup9E4B6423",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
        "ResilientClaims45FE4E6F",
    ],
    "batches": [
        "FewDeadLetterQueue2BFF736D",
        "FewLogGroupA571A60C",
        "FewQueueDFF2DA22",
        "FewStarterLogGroupF5D8D959",
        "ManyDeadLetterQueue34A5EFFE",
        "ManyLogGroupA6A65A01",
        "ManyQueueB32F0DCF",
        "ManyStarterLogGroupC9C868EF",
        "ReaderLogGroup9E4B6423",
        "ResilientCircuitsControllerDeadLetterQueueD5990B76",
        "ResilientCircuitsControllerLogGroupD143EACF",
        "ResilientCircuitsControllerWakeQueue17B0F60E",
        "ResilientCircuitsTable02CFC3AE",
        "ResilientClaims45FE4E6F",
    ],
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
