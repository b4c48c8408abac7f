"""A consumer with an urgent lane: two queues before one function."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_sqs as sqs
from consumer_parts import make_function, only
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs import (
    Authorization,
    BreakerPolicy,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    Route,
    StorageFirstApi,
    UrgentLane,
)
from resilient_constructs.flow_controlled_consumer.lanes import split

Match = assertions.Match


@pytest.fixture(scope="module")
def shop() -> Stack:
    """A consumer with an urgent lane of a downstream with a breaker; nobody changes it."""
    stack = Stack(App(), "Shop")
    courier = Downstream(
        stack,
        "Courier",
        requests_per_second=10,
        typical_latency=Duration.seconds(5),
        breaker=BreakerPolicy(),
    )
    FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack, timeout=Duration.seconds(20)),
        downstream=courier,
        urgent_lane=UrgentLane(share=0.2),
    )
    return stack


@pytest.fixture(scope="module")
def template(shop: Stack) -> assertions.Template:
    """What it becomes."""
    return assertions.Template.from_stack(shop)


def mappings(template: assertions.Template) -> dict[str, Any]:
    """The consumer's event source mappings by logical ID."""
    found = template.find_resources("AWS::Lambda::EventSourceMapping")
    return {name: one["Properties"] for name, one in found.items() if name.startswith("Delivery")}


@given(total=st.integers(4, 1000), share=st.floats(0.01, 0.99))
def test_the_lanes_add_up_to_the_budget(total: int, share: float) -> None:
    """Whatever the share, both lanes have two at least, and together no more than one lane would have."""
    found = split(total, UrgentLane(share=share))
    assert found.ordinary + found.urgent == total
    assert min(found.ordinary, found.urgent) >= 2


def test_both_queues_feed_the_same_function_within_the_budget(template: assertions.Template) -> None:
    """Of the 50 that Little's law allows, a fifth is set aside for what is urgent."""
    found = mappings(template)
    limits = {name[:14]: one["ScalingConfig"]["MaximumConcurrency"] for name, one in found.items()}
    assert limits == {"DeliveryEventS": 40, "DeliveryUrgent": 10}
    assert len({json.dumps(one["FunctionName"]) for one in found.values()}) == 1
    assert len({json.dumps(one["EventSourceArn"]) for one in found.values()}) == 2


def test_the_downstream_counts_both_as_one_caller(stack: Stack) -> None:
    """A lane adds nothing to what a downstream's callers may ask of it."""
    database = Downstream(stack, "Database", connections=10)
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack),
        downstream=database,
        urgent_lane=UrgentLane(),
    )
    assert database.registered_concurrency == consumer.max_concurrency == 10


def test_both_sources_are_paused_in_an_outage(template: assertions.Template) -> None:
    """The controller may change both mappings, and gives each its own concurrency back."""
    functions = template.find_resources("AWS::Lambda::Function")
    (controller,) = [one for name, one in functions.items() if "Controller" in name]
    feeds = json.dumps(controller["Properties"]["Environment"]["Variables"]["RESILIENT_FEEDS"])
    for name in mappings(template):
        assert name in feeds
    assert sorted(re.findall(r"\b\d+\b", feeds)) == ["10", "40"]


def test_both_queues_give_up_to_the_same_dead_letter_queue(template: assertions.Template) -> None:
    """It takes from exactly these two, so that what is rejected lies in one place, whichever its lane."""
    redriving = template.find_resources(
        "AWS::SQS::Queue", {"Properties": {"RedrivePolicy": Match.any_value()}}
    )
    own = {name: one for name, one in redriving.items() if name.startswith("Delivery")}
    targets = {json.dumps(one["Properties"]["RedrivePolicy"]) for one in own.values()}
    assert (len(own), len(targets)) == (2, 1)
    dead = template.find_resources(
        "AWS::SQS::Queue", {"Properties": {"RedriveAllowPolicy": Match.any_value()}}
    )
    (allow,) = [
        one["Properties"]["RedriveAllowPolicy"] for name, one in dead.items() if name.startswith("Delivery")
    ]
    named = [arn["Fn::Join"][1][-2].rsplit(":", 1)[-1] for arn in allow["sourceQueueArns"]]
    assert sorted(named) == sorted(one["Properties"]["QueueName"]["Fn::Join"][1][0] for one in own.values())


def test_the_lane_has_alarms_of_its_own(template: assertions.Template) -> None:
    """Five minutes of waiting are too long for what is urgent; dead letters are told of once."""
    alarms = template.find_resources("AWS::CloudWatch::Alarm")
    lane = [name for name in alarms if name.startswith("DeliveryUrgent")]
    assert [name[len("DeliveryUrgent") :].partition("Alarm")[0] for name in lane] == [
        "OldestMessageAge",
        "FailingMessages",
        "ConcurrencySaturated",
    ]
    ages = {
        name[:14]: one["Properties"]["Threshold"] for name, one in alarms.items() if "OldestMessage" in name
    }
    assert ages == {"DeliveryOldest": 900, "DeliveryUrgent": 300}
    saturated = json.dumps([one for name, one in alarms.items() if "ConcurrencySaturated" in name])
    assert "running >= 40 " in saturated
    assert "running >= 10 " in saturated
    assert "Delivery, urgent" in json.dumps(template.find_resources("AWS::CloudWatch::Dashboard"))


def test_buses_and_routes_reach_the_urgent_lane(stack: Stack) -> None:
    """A bus subscribes the lane as it does a consumer, and an API stores in it."""
    consumer = FlowControlledConsumer(
        stack, "Delivery", function=make_function(stack), urgent_lane=UrgentLane()
    )
    assert consumer.urgent is not None
    bus = FanOutBus(stack, "Orders")
    bus.subscribe("Express", consumer.urgent, detail_type=["ExpressOrderPlaced"])
    bus.subscribe("Delivery", consumer, detail_type=["OrderPlaced"])
    StorageFirstApi(
        stack,
        "Api",
        authorization=Authorization.NONE,
        routes=[Route.post("/express", schema={"type": "object"}, store=consumer.urgent.messages())],
    )
    template = assertions.Template.from_stack(stack)
    rules = {
        one["Properties"]["EventPattern"]["detail-type"][0]: json.dumps(
            one["Properties"]["Targets"][0]["Arn"]
        )
        for one in template.find_resources("AWS::Events::Rule").values()
    }
    assert "DeliveryUrgentQueue" in rules["ExpressOrderPlaced"]
    assert "DeliveryQueue" in rules["OrderPlaced"]
    method = only(template, "AWS::ApiGateway::Method", HttpMethod="POST")
    assert "DeliveryUrgentQueue" in json.dumps(method["Integration"])
    assert consumer.urgent.metric_waiting().metric_name == "ApproximateNumberOfMessagesVisible"


def test_lanes_of_a_fifo_consumer_are_fifo_both(stack: Stack) -> None:
    """Each lane keeps the order of its own message groups."""
    FlowControlledConsumer(
        stack, "Delivery", function=make_function(stack), fifo=True, urgent_lane=UrgentLane()
    )
    template = assertions.Template.from_stack(stack)
    template.resource_properties_count_is("AWS::SQS::Queue", {"FifoQueue": True}, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_concurrency": 3}, "max_concurrency is 3; allowed: at least 4 with an urgent lane"),
        ({"urgent_lane": UrgentLane(share=0)}, "urgent_lane share is 0; allowed: 0.01 to 0.99"),
        ({"urgent_lane": UrgentLane(share=1)}, "urgent_lane share is 1; allowed: 0.01 to 0.99"),
        (
            {"urgent_lane": UrgentLane(alarm_when_older_than=Duration.seconds(5))},
            "urgent_lane alarm_when_older_than is 5; allowed: whole numbers, 60 to",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(stack: Stack, given: dict[str, Any], told: str) -> None:
    """AWS wants two invocations at once for each mapping, and each lane needs a part."""
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery'") as error:
        FlowControlledConsumer(
            stack, "Delivery", **{"function": make_function(stack), "urgent_lane": UrgentLane(), **given}
        )
    assert told in str(error.value)


def test_a_given_queue_has_no_lane_beside_it(stack: Stack) -> None:
    """Its dead-letter queue need not let a second source in."""
    queue = sqs.Queue(stack, "Mine")
    with pytest.raises(ValueError, match="urgent_lane is 'given'; allowed: None with a queue of yours"):
        FlowControlledConsumer(
            stack, "Delivery", function=make_function(stack), queue=queue, urgent_lane=UrgentLane()
        )


def test_the_function_knows_which_queue_is_urgent(stack: Stack, tmp_path: Path) -> None:
    """By its ARN, written out: a reference would be one more thing that stands before the function."""
    (tmp_path / "delivery.py").write_text("def deliver(order, call): ...\n")
    handler = Handler.from_directory(tmp_path, "delivery.deliver")
    FlowControlledConsumer(stack, "Delivery", handler=handler, urgent_lane=UrgentLane())
    function = only(assertions.Template.from_stack(stack), "AWS::Lambda::Function")
    arn = json.dumps(function["Environment"]["Variables"]["RESILIENT_URGENT_QUEUE_ARN"])
    assert ":Shop-Delivery-Urgent-" in arn
    assert "GetAtt" not in arn


def test_a_concurrency_that_only_the_deployment_knows_is_refused(stack: Stack) -> None:
    """Nothing can be split of it at synth."""
    concurrency = CfnParameter(stack, "Concurrency", type="Number").value_as_number
    with pytest.raises(ValueError, match="numbers known at synth"):
        FlowControlledConsumer(
            stack,
            "Delivery",
            function=make_function(stack),
            max_concurrency=concurrency,  # type: ignore[arg-type]
            urgent_lane=UrgentLane(),
        )
