"""The numbers of a stream's consumer: what is filled in, what is refused, and what is warned of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_lambda as lambda_
from stream_parts import make_function, make_table, mapping_of, only

from resilient_constructs import (
    BreakerPolicy,
    ContainerHealth,
    Downstream,
    Handler,
    Idempotency,
    KinesisBisectConsumer,
)

Match = assertions.Match
Make = Callable[..., KinesisBisectConsumer]
AWS_PAGE = "https://docs.aws.amazon.com/"


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """A handler for records."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "orders.py").write_text("def take(order, call): ...\ndef alone(order): ...\n")
    return Handler.from_directory(code, "orders.take")


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


@pytest.fixture
def make(stack: Stack, handler: Handler) -> Make:
    """Makes a consumer with the handler in the stack."""

    def make(**given: Any) -> KinesisBisectConsumer:
        handed = {} if "function" in given else {"handler": handler}
        return KinesisBisectConsumer(stack, "Orders", **{**handed, **given})

    return make


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"batch_size": 10_001}, "batch_size is 10001; allowed: whole numbers, 1 to 10,000 records"),
        ({"batching_window": Duration.seconds(301)}, "batching_window is 301"),
        ({"parallelization_factor": 11}, "parallelization_factor is 11; allowed: whole numbers, 1 to 10"),
        ({"retry_attempts": -1}, "retry_attempts is -1; allowed: whole numbers, 0 to 10,000 retries"),
        ({"max_record_age": Duration.seconds(59)}, "max_record_age is 59"),
        ({"max_record_age": Duration.hours(72)}, "less than the stream's retention of 259,200 seconds"),
        ({"alarm_when_older_than": Duration.hours(63)}, "less than max_record_age, 226,800 seconds"),
        ({"retention": Duration.hours(23)}, "retention is 23"),
        ({"retention": Duration.hours(8761)}, "retention is 8761"),
        ({"shards": 0}, "shards is 0"),
        ({"timeout": Duration.seconds(901)}, "timeout is 901"),
        ({"on_poison": "stop"}, "on_poison is 'stop'; allowed: 'continue' or 'park'"),
        ({"starting_position": lambda_.StartingPosition.AT_TIMESTAMP}, "the time itself, as a datetime"),
        ({"starting_position": "LATEST"}, "starting_position is 'LATEST'; allowed: StartingPosition.TRIM"),
        ({"filters": {"data": 1}}, "filters is {'data': 1}; allowed: a list of patterns"),
        ({"filters": ["order"]}, "filters is 'order'; allowed: patterns that are mappings"),
        ({"filters": [{"data": {1}}]}, "filters is {'data': {1}}; allowed: patterns that are mappings"),
        ({"retention": 72}, "retention is 72; allowed: a Duration"),
        (
            {"timeout": timedelta(seconds=30)},
            "timeout is datetime.timedelta(seconds=30); allowed: a Duration",
        ),
        ({"shards": "4"}, "shards is '4'; allowed: whole numbers, at least 1 shards"),
        ({"retry_attempts": "2"}, "retry_attempts is '2'; allowed: whole numbers, 0 to"),
        ({"reserved_concurrency": "5"}, "reserved_concurrency is '5'"),
        ({"batch_size": "100"}, "batch_size is '100'; allowed: whole numbers, 1 to 10,000"),
        ({"per_batch": "no"}, "per_batch is 'no'; allowed: True or False"),
        ({"stream": "orders"}, "stream is 'orders'; allowed: the construct itself"),
        ({"poison_queue": "arn:aws:sqs:::q"}, "poison_queue is 'arn:aws:sqs:::q'; allowed: the construct"),
        ({"downstream": "Courier"}, "downstream is 'Courier'; allowed: a Downstream, or a list"),
        ({"downstream": ["Courier"]}, "downstream is ['Courier']; allowed: a Downstream, or a list"),
        ({"handler": "orders.take"}, "handler is 'orders.take'; allowed: Handler"),
        ({"environment": ["A=1"]}, "environment is ['A=1']; allowed: a mapping"),
        ({"environment": {"A": 1}}, "environment is {'A': 1}; allowed: a mapping of names to texts"),
        ({"on_poison": 1}, "on_poison is 1; allowed: 'continue' or 'park'"),
        ({"health": True}, "health is True; allowed: ContainerHealth"),
        ({"on_call": "ops@example.com"}, "on_call is 'ops@example.com'; allowed: OnCall"),
        ({"starting_position": datetime(2026, 1, 1)}, "a time with its time zone"),  # noqa: DTZ001  the slip
    ],
)
def test_what_aws_refuses_or_would_lose_records_is_refused(
    make: Make, given: dict[str, Any], told: str
) -> None:
    """Each impossible value is named with what is allowed, and the page that says so."""
    with pytest.raises(ValueError, match="KinesisBisectConsumer 'Orders'") as error:
        make(**given)
    assert told in str(error.value)
    assert AWS_PAGE in str(error.value)


def test_all_faults_are_told_at_once(make: Make) -> None:
    """Three slips are one error."""
    with pytest.raises(ValueError, match="has 3 faults"):
        make(batch_size=0, parallelization_factor=0, retention=Duration.hours(1))


def test_all_wrong_kinds_are_told_at_once(make: Make) -> None:
    """Values of the wrong kind are told together, before anything is computed from them."""
    with pytest.raises(ValueError, match="has 3 faults"):
        make(retention="3 days", starting_position="LATEST", filters=["order"])


def test_lists_may_be_remembered_as_well(stack: Stack, make: Make) -> None:
    """A handler of lists may have idempotency: the function is told of both."""
    consumer = make(per_batch=True, idempotency=Idempotency())
    assert consumer.resilient_function is not None
    assert consumer.resilient_function.idempotency_table is not None
    variables = only(assertions.Template.from_stack(stack), "AWS::Lambda::Function", Timeout=60)[
        "Environment"
    ]
    assert '"per_batch":true' in str(variables["Variables"]["RESILIENT_STREAM"])
    assert "RESILIENT_IDEMPOTENCY" in variables["Variables"]


def test_a_handler_of_one_argument_is_refused(stack: Stack, handler: Handler) -> None:
    """A record's handler is called with its data and the call."""
    alone = Handler.from_directory(handler.directory, "orders.alone")
    with pytest.raises(ValueError, match=r"called with \(data, call\) in mode 'records'"):
        KinesisBisectConsumer(stack, "Orders", handler=alone)


def test_an_age_that_only_the_deployment_knows_is_refused(stack: Stack, make: Make) -> None:
    """It is held against the retention, and written into an alarm."""
    age = CfnParameter(stack, "Age", type="Number").value_as_number
    with pytest.raises(ValueError, match="max_record_age is 'a token'; allowed: a duration known at synth"):
        make(max_record_age=Duration.seconds(age))


def test_reading_begins_when_it_was_told_to(stack: Stack, make: Make) -> None:
    """A time becomes AT_TIMESTAMP and the seconds since 1970."""
    make(starting_position=datetime(2026, 11, 1, tzinfo=UTC))
    mapping = mapping_of(assertions.Template.from_stack(stack))
    assert (mapping["StartingPosition"], mapping["StartingPositionTimestamp"]) == ("AT_TIMESTAMP", 1793491200)


@pytest.mark.parametrize(
    ("hours", "age"), [(24, 21 * 3600), (72, 63 * 3600), (168, 147 * 3600), (8760, 604_800)]
)
def test_the_age_limit_follows_the_retention(stack: Stack, make: Make, hours: int, age: int) -> None:
    """Seven eighths of it, and at most the seven days that Lambda can count."""
    make(retention=Duration.hours(hours))
    assert mapping_of(assertions.Template.from_stack(stack))["MaximumRecordAgeInSeconds"] == age


def test_filters_are_written_as_json(stack: Stack, make: Make) -> None:
    """A pattern stands in the mapping as text."""
    make(filters=[{"data": {"kind": ["order"]}}])
    mapping = mapping_of(assertions.Template.from_stack(stack))
    assert mapping["FilterCriteria"] == {"Filters": [{"Pattern": '{"data": {"kind": ["order"]}}'}]}


@pytest.mark.parametrize(
    ("shards", "parallelization", "most", "reserved"),
    [(4, 1, 4, None), (4, 3, 12, None), (4, 10, 15, 15), (None, 1, 15, 15)],
)
def test_a_downstream_is_not_overrun(
    stack: Stack, make: Make, shards: int | None, parallelization: int, most: int, reserved: int | None
) -> None:
    """Where shards and batches at once may be more than it bears, so much concurrency is reserved."""
    courier = Downstream(stack, "Courier", requests_per_second=10, breaker=BreakerPolicy())
    consumer = make(shards=shards, parallelization_factor=parallelization, downstream=courier)
    assert consumer.max_concurrency == most
    template = assertions.Template.from_stack(stack)
    function = only(template, "AWS::Lambda::Function", Timeout=60)
    assert function.get("ReservedConcurrentExecutions") == reserved
    assert ("Throttles" in consumer.alarms) == (reserved is None)


def test_a_given_function_must_tell_how_often_it_runs_at_once(stack: Stack, make: Make) -> None:
    """Nothing can be reserved for it, and its calls count against the downstream."""
    courier = Downstream(stack, "Courier", connections=10, breaker=BreakerPolicy())
    with pytest.raises(ValueError, match="a reserved concurrency on the given function"):
        make(function=make_function(stack), downstream=courier)
    function = make_function(stack, "Bounded", reserved_concurrent_executions=4)
    KinesisBisectConsumer(stack, "More", function=function, downstream=courier)
    assert courier.registered_concurrency == 4


def test_without_a_breaker_an_outage_is_warned_of(stack: Stack, make: Make) -> None:
    """Nothing pauses the stream, so the retries are all the patience there is."""
    make(downstream=Downstream(stack, "Courier", connections=10))
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Orders", Match.string_like_regexp("an outage of more than 120 s.*breaker=BreakerPolicy")
    )


def test_a_breaker_with_little_time_is_warned_of(stack: Stack, make: Make) -> None:
    """A short timeout is used up before the mapping is paused."""
    courier = Downstream(stack, "Courier", connections=10, breaker=BreakerPolicy())
    make(downstream=courier, timeout=Duration.seconds(10))
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Orders", Match.string_like_regexp("used up in 20 s.*Raise timeout to 60 s")
    )


def test_the_mapping_is_paused_with_its_downstream(stack: Stack, make: Make) -> None:
    """The controller knows the mapping, and that it has no concurrency to give back."""
    courier = Downstream(stack, "Courier", connections=10, breaker=BreakerPolicy())
    make(downstream=courier)
    template = assertions.Template.from_stack(stack)
    controller = only(template, "AWS::Lambda::Function", Environment=_with("RESILIENT_FEEDS"))
    feeds = str(controller["Environment"]["Variables"]["RESILIENT_FEEDS"])
    assert "OrdersEventSourceMapping" in feeds
    assert "Courier" in feeds


def test_an_environment_does_not_end_where_that_is_a_records_only_try(stack: Stack, make: Make) -> None:
    """With no retries its cure stops short of an exit."""
    make(retry_attempts=0, health=ContainerHealth(threshold=0.4))
    function = only(assertions.Template.from_stack(stack), "AWS::Lambda::Function", Timeout=60)
    health = function["Environment"]["Variables"]["RESILIENT_HEALTH"]
    assert '"exit":false' in health
    assert '"threshold":0.4' in health


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"per_batch": True}, "per_batch is True; allowed: set it on the given function itself"),
        ({"on_poison": "park"}, "on_poison is 'park'; allowed: set it on the given function itself"),
        ({"timeout": Duration.seconds(9)}, "timeout is 'given'"),
    ],
)
def test_what_a_given_function_would_not_get_is_refused(
    stack: Stack, make: Make, given: dict[str, Any], told: str
) -> None:
    """Nothing is ignored in silence."""
    with pytest.raises(ValueError, match="KinesisBisectConsumer 'Orders'") as error:
        make(function=make_function(stack), **given)
    assert told in str(error.value)


def test_a_table_has_options_of_its_own(stack: Stack, make: Make) -> None:
    """What a table's stream has not is refused, and so is a table without one: all at once."""
    with pytest.raises(ValueError, match="has 6 faults") as error:
        make(
            table=make_table(stack, None),
            shards=2,
            retention=Duration.hours(48),
            shard_metrics=True,
            enhanced_fan_out=True,
            starting_position=datetime(2026, 11, 1, tzinfo=UTC),
        )
    assert "a table with one: dynamodb.Table" in str(error.value)


def _with(variable: str) -> dict[str, Any]:
    return {"Variables": Match.object_like({variable: Match.any_value()})}
