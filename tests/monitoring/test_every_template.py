"""What holds for every template that the library makes: its alarms, its dashboard, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from constructs import Construct

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    OnCall,
    ResilientFunction,
    Route,
    StorageFirstApi,
    Work,
)
from resilient_constructs.testing import (
    alarms_of,
    assert_alarms_explain_themselves,
    count_jsii,
    dashboards_of,
)

MOST_REQUESTS = 25
MOST_OF_A_WORKFLOW = 65
"""A workflow is made of others: a function with its queues and mappings, and a state machine."""
ORDER = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
HANDLERS = Path(__file__).parents[2] / "examples" / "handlers"
HANDLER = Handler.from_directory(str(HANDLERS / "delivery"), "delivery.deliver")

Build = Callable[[Construct, str, OnCall | None], Construct]


def queue_of(scope: Construct) -> sqs.Queue:
    """The one queue that all copies in this scope share."""
    found = scope.node.try_find_child("Queue") or sqs.Queue(scope, "Queue", enforce_ssl=True)
    assert isinstance(found, sqs.Queue)
    return found


def bus_of(scope: Construct) -> FanOutBus:
    """The one bus that all APIs in this scope share."""
    found = scope.node.try_find_child("Bus") or FanOutBus(scope, "Bus")
    assert isinstance(found, FanOutBus)
    return found


def a_function(scope: Construct, name: str, on_call: OnCall | None) -> Construct:
    """A function with its log group and role."""
    return ResilientFunction(scope, name, handler=HANDLER, on_call=on_call)


def an_api(scope: Construct, name: str, on_call: OnCall | None) -> Construct:
    """An API with one route to a bus."""
    store = bus_of(scope).events(source="shop", detail_type="OrderPlaced")
    route = Route.post("/orders", schema=ORDER, store=store)
    return StorageFirstApi(scope, name, routes=[route], on_call=on_call)


def a_consumer(scope: Construct, name: str, on_call: OnCall | None) -> Construct:
    """A consumer with its queues and its function."""
    return FlowControlledConsumer(scope, name, handler=HANDLER, on_call=on_call)


def a_bus(scope: Construct, name: str, on_call: OnCall | None) -> Construct:
    """A bus with one subscription."""
    bus = FanOutBus(scope, name, on_call=on_call)
    bus.subscribe("Work", queue_of(scope), detail_type=["OrderPlaced"])
    return bus


def a_workflow(scope: Construct, name: str, on_call: OnCall | None) -> Construct:
    """A workflow behind a downstream with a breaker."""
    ocr = scope.node.try_find_child("Ocr") or Downstream(
        scope, "Ocr", requests_per_second=10, breaker=BreakerPolicy(), on_call=on_call
    )
    function = scope.node.try_find_child("Work") or ResilientFunction(
        scope, "Work", handler=HANDLER, on_call=on_call
    )
    assert isinstance(ocr, Downstream)
    assert isinstance(function, ResilientFunction)
    return BreakerWorkflow(scope, name, work=Work.function(function), downstream=ocr, on_call=on_call)


CONSTRUCTS = pytest.mark.parametrize("build", [a_function, an_api, a_consumer, a_bus, a_workflow])


@CONSTRUCTS
def test_every_alarm_of_a_construct_explains_itself(build: Build) -> None:
    """Each alarm has dimensions, a reason, a treatment of missing data, and with OnCall an action."""
    stack = Stack(App(), "Shop")
    build(stack, "Watched", OnCall(stack, "OnCall", email="ops@example.com"))

    assert_alarms_explain_themselves(stack)


@CONSTRUCTS
def test_every_alarm_of_a_construct_stands_on_the_dashboard(build: Build) -> None:
    """No alarm is made that the stack's dashboard does not show."""
    stack = Stack(App(), "Shop")
    build(stack, "Watched", None)

    (body,) = dashboards_of(stack).values()
    shown = {arn for w in body["widgets"] if w["type"] == "alarm" for arn in w["properties"]["alarms"]}
    # the circuits' controller, one per stack, has nothing to show but its alarms
    made = (name for name in alarms_of(stack) if not name.startswith("ResilientCircuitsController"))
    assert shown == {f"${{{logical_id}.Arn}}" for logical_id in made}
    Template.from_stack(stack).resource_count_is("AWS::CloudWatch::Dashboard", 1)


@CONSTRUCTS
def test_a_copy_of_a_construct_costs_few_round_trips(build: Build) -> None:
    """One more copy takes few requests to Node, its alarms and its part of the dashboard included."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall", email="ops@example.com")
    build(stack, "First", on_call)
    queue_of(stack)

    with count_jsii() as requests:
        build(stack, "Second", on_call)

    # looking up what copies share is the test's own doing
    own = 2 if build in (an_api, a_bus) else 4 if build is a_workflow else 0
    most = MOST_OF_A_WORKFLOW if build is a_workflow else MOST_REQUESTS
    assert requests.count - own <= most, dict(requests.by_target)


@pytest.fixture(scope="module")
def courier() -> dict[str, Any]:
    """The template of the courier example."""
    from examples.courier import CourierStack

    return dict(Template.from_stack(CourierStack(App(), "Courier")).to_json())


def test_every_alarm_of_the_courier_example_explains_itself(courier: dict[str, Any]) -> None:
    """The example that users copy from passes the check that they are given."""
    assert_alarms_explain_themselves(courier)


def test_the_courier_dashboard_reads_like_the_data_flow(courier: dict[str, Any]) -> None:
    """One dashboard: entry, routing, work and what is called, from left to right, and the logs below."""
    (body,) = dashboards_of(courier).values()

    places = {w["properties"]["markdown"]: w["x"] for w in body["widgets"] if w["type"] == "text"}
    lanes = [places[f"## {lane}"] for lane in ("Entry →", "Routing →", "Work →", "Downstream")]
    assert lanes == sorted(set(lanes))
    below = [
        places[f"### {title}"] for title in ("Api", "Orders → Delivery", "Delivery", "Delivery → Courier")
    ]
    assert below == lanes
    logs = [w for w in body["widgets"] if w["type"] == "log"]
    graphs = [w for w in body["widgets"] if w["type"] == "metric"]
    assert min(log["y"] for log in logs) > max(graph["y"] for graph in graphs)
    assert all(graph["properties"]["region"] == "${AWS::Region}" for graph in graphs)


def test_the_courier_queries_search_api_and_function_alike(courier: dict[str, Any]) -> None:
    """The story of one correlation id begins at the API's door; what leaks is asked of functions alone."""
    queries = [r for r in courier["Resources"].values() if r["Type"] == "AWS::Logs::QueryDefinition"]

    assert sorted(len(query["Properties"]["LogGroupNames"]) for query in queries) == [1, 1, 2, 2]
