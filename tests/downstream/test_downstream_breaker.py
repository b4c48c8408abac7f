"""A downstream's breaker: what is said of it, what is made for it, and who may do what."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from resilient_runtime.breaker.policy import _BOUNDS
from resilient_runtime.breaker.policy import BreakerPolicy as RuntimePolicy
from resilient_runtime.controller import ControllerSettings

from resilient_constructs import (
    BreakerPolicy,
    Downstream,
    FlowControlledConsumer,
    Handler,
    OnCall,
    ResilientFunction,
)
from resilient_constructs.downstream.limits import BREAKER
from resilient_constructs.testing import count_jsii

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "delivery"
HANDLER = Handler.from_directory(str(HANDLERS), "delivery.deliver")
CONTROLLER = "ResilientCircuitsController"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """Two consumers of one downstream with a breaker."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=10, breaker=BreakerPolicy())
    for name, concurrency in (("Delivery", 7), ("Returns", 3)):
        FlowControlledConsumer(stack, name, handler=HANDLER, downstream=courier, max_concurrency=concurrency)
    return dict(assertions.Template.from_stack(stack).to_json()["Resources"])


def of_kind(template: dict[str, Any], kind: str, begins: str = "") -> list[dict[str, Any]]:
    """The properties of all resources of a type whose logical ID begins so."""
    return [
        one["Properties"] for name, one in template.items() if one["Type"] == kind and name.startswith(begins)
    ]


def granted(template: dict[str, Any], begins: str) -> set[str]:
    """Every action that a role's policies allow."""
    statements = [
        statement
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for policy in of_kind(template, kind, begins)
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }


def test_defaults_and_bounds_are_the_runtimes() -> None:
    """A policy is checked against what the runtime takes, and says the same where nothing is said."""
    assert BreakerPolicy().settings() == {}
    ours = {limit.prop: (limit.low, limit.high, limit.default) for limit in BREAKER}
    names = {
        "slow_after": "slow_call_seconds",
        "window": "window_seconds",
        "recovery_time": "recovery_seconds",
        "longest_recovery_time": "longest_recovery_seconds",
        "probe_lease": "lease_seconds",
        "cache_for": "cache_seconds",
    }
    defaults = {one.name: one.default for one in fields(RuntimePolicy)}
    for prop, (low, high, default) in ours.items():
        name = prop.removeprefix("breaker.")
        theirs = names.get(name, name)
        assert _BOUNDS[theirs][:2] == (low, high)
        assert defaults[theirs] == default
    assert len(ours) == len(_BOUNDS)


def test_durations_become_seconds() -> None:
    """What differs from the defaults is told the runtime, durations in seconds; it can be read back."""
    policy = BreakerPolicy(
        slow_after=Duration.millis(2500), recovery_time=Duration.minutes(5), ignored_errors=("ValueError",)
    )
    told = policy.settings()
    assert told == {
        "slow_call_seconds": 2.5,
        "recovery_seconds": 300.0,
        "longest_recovery_seconds": 300.0,
        "ignored_errors": ["ValueError"],
    }
    assert RuntimePolicy.from_settings(json.loads(json.dumps(told))).recovery_seconds == 300


@pytest.mark.parametrize(
    ("policy", "latency", "lease"),
    [
        (BreakerPolicy(), 10, 30),
        (BreakerPolicy(), 60, 180),
        (BreakerPolicy(), 400, 900),
        (BreakerPolicy(slow_after=Duration.seconds(90)), 5, 90),
        (BreakerPolicy(probe_lease=Duration.seconds(70)), 60, 70),
    ],
)
def test_a_probe_may_take_as_long_as_good_calls_do(policy: BreakerPolicy, latency: int, lease: int) -> None:
    """One whose place is taken before it is done says nothing: a slow downstream's circuit never closed."""
    stack = Stack(App(), "Shop")
    slow = Downstream(
        stack, "Slow", connections=10, typical_latency=Duration.seconds(latency), breaker=policy
    )
    told = slow.settings(5).breaker
    assert told is not None
    assert RuntimePolicy.from_settings(told).lease_seconds == lease


def test_a_probe_lease_below_the_typical_latency_is_refused() -> None:
    """No probe would ever count."""
    with pytest.raises(ValueError, match=r"probe_lease is 20.*at least typical_latency, 60 seconds"):
        Downstream(
            Stack(App(), "Shop"),
            "Slow",
            connections=10,
            typical_latency=Duration.seconds(60),
            breaker=BreakerPolicy(probe_lease=Duration.seconds(20)),
        )


def test_every_fault_of_a_policy_is_told() -> None:
    """All that is wrong is told at once, with the range, together with what is wrong with the downstream."""
    stack = Stack(App(), "Shop")
    token = Duration.seconds(CfnParameter(stack, "P", type="Number").value_as_number)
    policy = BreakerPolicy(
        failure_rate=2,
        minimum_calls=0,
        window=Duration.seconds(5),
        recovery_time=Duration.seconds(30),
        longest_recovery_time=Duration.seconds(20),
        cache_for=token,
        ignored_errors=("",),
    )
    with pytest.raises(ValueError, match="'Courier' has 7 faults") as told:
        Downstream(stack, "Courier", requests_per_second=-1, breaker=policy)
    for one in (
        "requests_per_second is -1",
        "breaker.failure_rate is 2; allowed: 0.01 to 1 of the calls",
        "breaker.minimum_calls is 0",
        "breaker.window is 5.0",
        "breaker.longest_recovery_time is 20.0; allowed: at least recovery_time, 30 seconds",
        "breaker.cache_for is 'a token'",
        "breaker.ignored_errors is ('',)",
    ):
        assert one in str(told.value)


def test_a_downstream_without_a_breaker_makes_nothing() -> None:
    """No table, no controller, nothing told to the consumer's function."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=10)
    FlowControlledConsumer(stack, "Delivery", handler=HANDLER, downstream=courier)
    text = json.dumps(assertions.Template.from_stack(stack).to_json())
    assert "Circuit" not in text
    assert "RESILIENT_CIRCUITS_TABLE" not in text


def test_all_circuits_of_a_stack_share_a_table(template: dict[str, Any]) -> None:
    """One table, paid per request, restorable, with a stream of new images for the controller."""
    (table,) = of_kind(template, "AWS::DynamoDB::Table")
    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}


def test_callers_may_read_and_update_circuits_and_nothing_else(template: dict[str, Any]) -> None:
    """A consumer's function knows the table, and its role holds the one policy for using it."""
    (use,) = of_kind(template, "AWS::IAM::ManagedPolicy")
    (statement,) = use["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["dynamodb:GetItem", "dynamodb:UpdateItem"]
    assert statement["Resource"] == {"Fn::GetAtt": ["ResilientCircuitsTable02CFC3AE", "Arn"]}
    for name in ("Delivery", "Returns"):
        (role,) = of_kind(template, "AWS::IAM::Role", name)
        assert len(role["ManagedPolicyArns"]) == 1
        (function,) = of_kind(template, "AWS::Lambda::Function", name)
        variables = function["Environment"]["Variables"]
        assert variables["RESILIENT_CIRCUITS_TABLE"] == {"Ref": "ResilientCircuitsTable02CFC3AE"}
        assert json.loads(variables["RESILIENT_DOWNSTREAMS"])[0]["breaker"] == {}


def test_the_controller_may_change_exactly_its_mappings(template: dict[str, Any]) -> None:
    """Reading and updating two mappings by their UUIDs; the rest of what it may do is its own plumbing."""
    (policy,) = of_kind(template, "AWS::IAM::Policy", f"{CONTROLLER}MappingsPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"]
    mappings = [arn["Fn::Join"][1][-1]["Ref"] for arn in statement["Resource"]]
    assert [template[one]["Type"] for one in mappings] == ["AWS::Lambda::EventSourceMapping"] * 2
    assert granted(template, CONTROLLER) == {
        "dynamodb:DescribeStream",
        "dynamodb:GetItem",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "events:PutEvents",
        "lambda:GetEventSourceMapping",
        "lambda:UpdateEventSourceMapping",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }


def test_the_controller_is_told_what_it_looks_after(template: dict[str, Any]) -> None:
    """Its environment names each mapping, the circuits it depends on, and its concurrency."""
    (function,) = of_kind(template, "AWS::Lambda::Function", CONTROLLER)
    variables = {
        name: "".join(part if isinstance(part, str) else part["Ref"] for part in value["Fn::Join"][1])
        if isinstance(value, dict) and "Fn::Join" in value
        else str(value)
        for name, value in function["Environment"]["Variables"].items()
    }
    told = ControllerSettings.from_env(variables)
    assert [(feed.downstreams, feed.concurrency) for feed in told.feeds] == [
        (("Courier",), "7"),
        (("Courier",), "3"),
    ]
    assert told.circuits == ("Courier",)
    assert told.period == 120


def test_the_controller_hears_of_changes_of_state_alone(template: dict[str, Any]) -> None:
    """Counts are filtered out, a record that fails is split off, and what is given up is kept."""
    (stream,) = of_kind(template, "AWS::Lambda::EventSourceMapping", f"{CONTROLLER}Stream")
    (pattern,) = stream["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "dynamodb": {"NewImage": {"transition": {"S": [{"exists": True}]}}}
    }
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0].startswith(
        f"{CONTROLLER}DeadLetterQueue"
    )
    (rule,) = of_kind(template, "AWS::Events::Rule")
    assert (
        rule["Targets"][0]["DeadLetterConfig"]["Arn"]
        == stream["DestinationConfig"]["OnFailure"]["Destination"]
    )
    assert rule["ScheduleExpression"] == "rate(2 minutes)"


def test_a_circuit_wakes_somebody_and_has_a_lane(template: dict[str, Any]) -> None:
    """The alarm holds the circuit's state against two, and the dashboard draws it."""
    (alarm,) = of_kind(template, "AWS::CloudWatch::Alarm", "CourierCircuitOpenAlarm")
    assert (alarm["MetricName"], alarm["Threshold"], alarm["TreatMissingData"]) == (
        "CircuitState",
        2,
        "ignore",
    )
    assert "#circuit-open" in alarm["AlarmDescription"]
    (board,) = of_kind(template, "AWS::CloudWatch::Dashboard")
    assert "CircuitState" in json.dumps(board)


def test_a_consumer_in_another_stack_has_its_controller_there() -> None:
    """The other stack uses the table of the first, its own controller pauses, and one alone tells."""
    app = App()
    shared, shop = Stack(app, "Shared"), Stack(app, "Shop")
    courier = Downstream(shared, "Courier", requests_per_second=10, breaker=BreakerPolicy())
    FlowControlledConsumer(shop, "Delivery", handler=HANDLER, downstream=courier)
    here = assertions.Template.from_stack(shop).to_json()["Resources"]
    assert of_kind(here, "AWS::DynamoDB::Table") == []
    (function,) = of_kind(here, "AWS::Lambda::Function", "CircuitController")
    assert function["Environment"]["Variables"]["RESILIENT_CIRCUITS"] == "[]"
    assert "events:PutEvents" not in granted(here, "CircuitController")
    there = assertions.Template.from_stack(shared).to_json()["Resources"]
    assert of_kind(there, "AWS::IAM::Policy", f"{CONTROLLER}MappingsPolicy") == []
    assert "events:PutEvents" in granted(there, CONTROLLER)


def test_many_readers_of_the_stream_are_warned_of() -> None:
    """The stream serves two readers at once: consumers in a third stack get a warning with both numbers."""
    app = App()
    courier = Downstream(Stack(app, "Shared"), "Courier", requests_per_second=100, breaker=BreakerPolicy())
    shops = [Stack(app, name) for name in ("One", "Two")]
    for shop in shops:
        FlowControlledConsumer(shop, "Delivery", handler=HANDLER, downstream=courier, max_concurrency=5)
    told = assertions.Match.string_like_regexp("3 stacks have consumers .* more than 2 readers")
    one, two = (assertions.Annotations.from_stack(shop) for shop in shops)
    one.has_no_warning("*", told)
    two.has_warning("/Two", told)


def test_breakers_of_two_stacks_do_not_mix() -> None:
    """A function knows one table of circuits, so two downstreams of two stacks are refused by name."""
    app = App()
    one = Downstream(Stack(app, "One"), "Courier", connections=5, breaker=BreakerPolicy())
    two = Downstream(Stack(app, "Two"), "Bank", connections=5, breaker=BreakerPolicy())
    with pytest.raises(ValueError, match="One/Courier, Two/Bank"):
        FlowControlledConsumer(Stack(app, "Shop"), "Delivery", handler=HANDLER, downstream=[one, two])


@pytest.mark.parametrize("source", ["Kinesis", "DynamoDB"])
def test_a_stream_of_ones_own_can_be_paused(source: str) -> None:
    """A mapping of a stream is named without a concurrency, and nothing else may be changed."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", connections=5, breaker=BreakerPolicy())
    mapping = lambda_.EventSourceMapping(
        stack,
        "Mapping",
        target=lambda_.Function.from_function_name(stack, "Worker", "worker"),
        event_source_arn=stream_arn(stack, source),
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        parallelization_factor=4,
    )
    courier.pause(stack, mapping.event_source_mapping_id)
    resources = assertions.Template.from_stack(stack).to_json()["Resources"]
    (logical_id,) = [name for name in resources if name.startswith("Mapping")]
    (function,) = of_kind(resources, "AWS::Lambda::Function", CONTROLLER)
    feeds = function["Environment"]["Variables"]["RESILIENT_FEEDS"]["Fn::Join"][1]
    assert feeds == ['[["', {"Ref": logical_id}, '",["Courier"],""]]']
    (policy,) = of_kind(resources, "AWS::IAM::Policy", f"{CONTROLLER}MappingsPolicy")
    (arn,) = policy["PolicyDocument"]["Statement"][0]["Resource"]
    assert arn["Fn::Join"][1][-1] == {"Ref": logical_id}


def stream_arn(stack: Stack, source: str) -> str:
    """The ARN of a new stream, of Kinesis or of a table."""
    if source == "Kinesis":
        return kinesis.Stream(stack, "Stream").stream_arn
    key = dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING)
    table = dynamodb.Table(stack, "Items", partition_key=key, stream=dynamodb.StreamViewType.NEW_IMAGE)
    return str(table.table_stream_arn)


def test_a_function_of_ones_own_takes_part() -> None:
    """It is handed the circuits beside the downstream's settings; without them it is refused by name."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", connections=5, breaker=BreakerPolicy())
    told = [courier.settings(5)]
    ResilientFunction(stack, "Worker", handler=HANDLER, downstreams=told, circuits=courier.circuits)
    resources = assertions.Template.from_stack(stack).to_json()["Resources"]
    (function,) = of_kind(resources, "AWS::Lambda::Function", "Worker")
    assert "RESILIENT_CIRCUITS_TABLE" in function["Environment"]["Variables"]
    with pytest.raises(ValueError, match=r"circuits is None.*Courier"):
        ResilientFunction(stack, "Other", handler=HANDLER, downstreams=told)


def test_a_concurrency_that_only_the_deployment_knows_is_restored_too() -> None:
    """A parameter's value stands in the controller's environment as CloudFormation fills it in."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", connections=5, breaker=BreakerPolicy())
    concurrency = CfnParameter(stack, "Concurrency", type="Number").value_as_number
    FlowControlledConsumer(
        stack, "Delivery", handler=HANDLER, downstream=courier, max_concurrency=int(concurrency)
    )
    resources = assertions.Template.from_stack(stack).to_json()["Resources"]
    (function,) = of_kind(resources, "AWS::Lambda::Function", CONTROLLER)
    assert {"Ref": "Concurrency"} in function["Environment"]["Variables"]["RESILIENT_FEEDS"]["Fn::Join"][1]


def test_a_consumer_with_a_breaker_costs_at_most_25_round_trips() -> None:
    """What a breaker needs is made once per stack: a further consumer costs what it costs without one."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    courier = Downstream(stack, "Courier", requests_per_second=100, breaker=BreakerPolicy(), on_call=on_call)

    def make(name: str) -> None:
        FlowControlledConsumer(
            stack, name, handler=HANDLER, downstream=courier, max_concurrency=10, on_call=on_call
        )

    make("First")
    with count_jsii() as requests:
        make("Second")
    assert requests.count <= 25, requests.by_target
