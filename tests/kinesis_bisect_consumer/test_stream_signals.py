"""What of a stream's consumer wakes someone, and when."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from stream_parts import make_function, make_table

from resilient_constructs import Handler, KinesisBisectConsumer, OnCall
from resilient_constructs.monitoring import alarms
from resilient_constructs.testing import assert_alarms_explain_themselves, count_jsii, dashboards_of

Make = Callable[..., KinesisBisectConsumer]
MOST_REQUESTS = 64
HOUR = 3600


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """A handler for records."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "orders.py").write_text("def take(order, call): ...\n")
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


def alarm_of(stack: Stack, name: str) -> dict[str, Any]:
    """The alarm of a signal."""
    found = assertions.Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm")
    (alarm,) = [each["Properties"] for logical_id, each in found.items() if f"{name}Alarm" in logical_id]
    return dict(alarm)


Measured = tuple[str, str, str, str]
FUNCTION, MAPPING = "FunctionName OrdersFunction", "EventSourceMappingUUID OrdersEventSourceMapping"
STREAM, POISON = "StreamName OrdersStream", "QueueName OrdersPoisonQueue"
DISCARDED, UNRESOLVED = "QueueName Shop-Orders-Resolver", "QueueName OrdersResolverDeadLetterQueue"
VISIBLE = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum")
OURS = "ResilientConstructs"
# What each alarm measures, each metric with its statistic and whose it is; by name in the expression.
MEASURED: dict[str, dict[str, Measured]] = {
    "RecordAge": {"": ("AWS/Lambda", "IteratorAge", "Maximum", FUNCTION)},
    "NotRead": {"": ("AWS/Lambda", "PolledEventCount", "Sum", MAPPING)},
    "StuckShard": {
        "age": ("AWS/Lambda", "IteratorAge", "Maximum", FUNCTION),
        "invoked": ("AWS/Lambda", "Invocations", "Sum", FUNCTION),
    },
    "BisectRounds": {
        "handed_out": ("AWS/Lambda", "InvokedEventCount", "Sum", MAPPING),
        "failed": ("AWS/Lambda", "FailedInvokeEventCount", "Sum", MAPPING),
    },
    "PoisonWaiting": {
        "waiting": (*VISIBLE, POISON),
        "sent": ("AWS/SQS", "NumberOfMessagesSent", "Sum", POISON),
    },
    "PoisonExpiring": {"": (*VISIBLE, POISON)},
    "PoisonRate": {
        "poisoned": (OURS, "Poisoned", "Sum", FUNCTION),
        "completed": (OURS, "Completed", "Sum", FUNCTION),
    },
    "NotKept": {"": (OURS, "NotKept", "Sum", FUNCTION)},
    "DiscardedRecords": {"": ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount", "Sum", MAPPING)},
    "DroppedRecords": {"": ("AWS/Lambda", "DroppedEventCount", "Sum", MAPPING)},
    "RecordsExpired": {"": (OURS, "RecordsExpired", "Sum", "FunctionName OrdersResolverFunction")},
    "ResolvingLate": {"": ("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", DISCARDED)},
    "NotResolved": {"": (*VISIBLE, UNRESOLVED)},
    "ReadThrottled": {"": ("AWS/Kinesis", "ReadProvisionedThroughputExceeded", "Sum", STREAM)},
    "WriteThrottled": {"": ("AWS/Kinesis", "WriteProvisionedThroughputExceeded", "Sum", STREAM)},
    "HotShard": {
        "throttled": ("AWS/Kinesis", "WriteProvisionedThroughputExceeded", "Sum", STREAM),
        "bytes": ("AWS/Kinesis", "IncomingBytes", "Sum", STREAM),
        "records": ("AWS/Kinesis", "IncomingRecords", "Sum", STREAM),
    },
}


def whose(dimensions: list[dict[str, Any]]) -> str:
    """The one dimension and the resource that it names, without what makes their names unique."""
    (one,) = dimensions
    named = one["Value"]
    if "Fn::Join" in named:
        return f"{one['Name']} {re.sub('-[0-9a-f]{8}-$', '', named['Fn::Join'][1][0])}"
    logical = named["Ref"] if "Ref" in named else named["Fn::GetAtt"][0]
    return f"{one['Name']} {logical[:-8]}"


def measured_by(alarm: dict[str, Any]) -> dict[str, Measured]:
    """What an alarm measures, by the name that its expression uses."""
    if "Metrics" not in alarm:
        return {"": (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], whose(alarm["Dimensions"]))}
    return {
        query["Id"]: (
            query["MetricStat"]["Metric"]["Namespace"],
            query["MetricStat"]["Metric"]["MetricName"],
            query["MetricStat"]["Stat"],
            whose(query["MetricStat"]["Metric"]["Dimensions"]),
        )
        for query in alarm["Metrics"]
        if "MetricStat" in query
    }


def test_each_alarm_measures_this(stack: Stack, make: Make) -> None:
    """Every metric has its statistic, and is that of the function, mapping, stream or queue it speaks of."""
    make(shards=2)
    assert {name: measured_by(alarm_of(stack, name)) for name in MEASURED} == MEASURED


def test_its_alarms_are_these(make: Make) -> None:
    """A provisioned stream and a handler have all of them."""
    assert sorted(make(shards=2).alarms) == [
        "BisectRounds",
        "ContainerHealth",
        "DiscardedRecords",
        "DroppedRecords",
        "Errors",
        "HotShard",
        "NotKept",
        "NotRead",
        "NotResolved",
        "PoisonExpiring",
        "PoisonRate",
        "PoisonWaiting",
        "ReadThrottled",
        "RecordAge",
        "RecordsExpired",
        "ResolvingLate",
        "StuckShard",
        "Throttles",
        "Unfinished",
        "WriteThrottled",
    ]


@pytest.mark.parametrize("kind", ["stream", "table", "function"])
def test_every_alarm_explains_itself_and_is_shown(stack: Stack, make: Make, kind: str) -> None:
    """Dimensions, a reason, a treatment of missing data, an action, and a place on the dashboard."""
    given: dict[str, Any] = {"on_call": OnCall(stack, "OnCall", email="ops@example.com")}
    if kind == "table":
        given["table"] = make_table(stack, dynamodb.StreamViewType.NEW_IMAGE)
    elif kind == "function":
        given["function"] = make_function(stack)
    consumer = make(**given)
    assert_alarms_explain_themselves(stack)
    (body,) = dashboards_of(stack).values()
    shown = {arn for w in body["widgets"] if w["type"] == "alarm" for arn in w["properties"]["alarms"]}
    assert len(shown) == len(consumer.alarms)


@pytest.mark.parametrize(("retention", "hours"), [(24, 8), (72, 24), (168, 56)])
def test_someone_is_woken_while_a_third_is_left(stack: Stack, make: Make, retention: int, hours: int) -> None:
    """By the age of what is read, or by as long without reading: together two thirds of the retention."""
    make(retention=Duration.hours(retention))
    age = alarm_of(stack, "RecordAge")
    assert (age["MetricName"], age["Statistic"]) == ("IteratorAge", "Maximum")
    assert age["Threshold"] == hours * HOUR * 1000
    assert age["TreatMissingData"] == "ignore"
    silence = alarm_of(stack, "NotRead")
    assert silence["MetricName"] == "PolledEventCount"
    assert silence["Period"] * silence["EvaluationPeriods"] == hours * HOUR
    assert 2 * hours <= retention * 2 / 3


def test_a_mapping_that_is_silent_is_what_not_read_means(stack: Stack, make: Make) -> None:
    """No data breaches, and data never does: a mapping that polls tells even of nothing."""
    make()
    silence = alarm_of(stack, "NotRead")
    assert silence["TreatMissingData"] == "breaching"
    assert (silence["ComparisonOperator"], silence["Threshold"]) == ("LessThanThreshold", 0)


@pytest.mark.parametrize(
    ("age", "minutes"), [(Duration.hours(24), 1440), (Duration.minutes(10), 10), (Duration.hours(60), 2880)]
)
def test_nobody_is_woken_by_a_first_deployment(stack: Stack, make: Make, age: Duration, minutes: int) -> None:
    """A new mapping has told nothing yet: the alarm waits for as long as silence counts, two days at most."""
    make(retention=Duration.days(7), alarm_when_older_than=age)
    alarm = alarm_of(stack, "NotRead")
    assert alarm["WarmUpConfiguration"] == {"WarmUpPeriodDurationInMinutes": minutes}


@pytest.mark.parametrize(
    ("age", "period", "periods"),
    [(Duration.minutes(10), 300, 2), (Duration.hours(5), HOUR, 5), (Duration.minutes(1), 300, 1)],
)
def test_a_short_age_is_watched_closely(
    stack: Stack, make: Make, age: Duration, period: int, periods: int
) -> None:
    """What wakes someone earlier is looked at more often."""
    make(alarm_when_older_than=age)
    silence = alarm_of(stack, "NotRead")
    assert (silence["Period"], silence["EvaluationPeriods"]) == (period, periods)
    assert alarm_of(stack, "RecordAge")["Threshold"] == age.to_milliseconds()


def test_a_year_of_retention_still_makes_an_alarm(stack: Stack, make: Make) -> None:
    """CloudWatch looks back a week at most, and Lambda counts no age beyond it."""
    make(retention=Duration.days(365))
    silence = alarm_of(stack, "NotRead")
    assert silence["Period"] * silence["EvaluationPeriods"] == 84 * HOUR


def test_a_shard_is_stuck_when_its_age_grows_as_fast_as_half_the_clock(stack: Stack, make: Make) -> None:
    """For a quarter of an hour, while the function is invoked."""
    make()
    stuck = alarm_of(stack, "StuckShard")
    (result,) = [query for query in stuck["Metrics"] if "Expression" in query]
    assert result["Expression"] == "IF(invoked > 0 AND DIFF(age) > 150000, 1, 0)"
    assert {query["MetricStat"]["Period"] for query in stuck["Metrics"] if "MetricStat" in query} == {300}
    assert stuck["EvaluationPeriods"] == 3


@pytest.mark.parametrize(
    ("name", "metric", "namespace"),
    [
        ("NotKept", "NotKept", "ResilientConstructs"),
        ("RecordsExpired", "RecordsExpired", "ResilientConstructs"),
        ("DroppedRecords", "DroppedEventCount", "AWS/Lambda"),
        ("DiscardedRecords", "OnFailureDestinationDeliveredEventCount", "AWS/Lambda"),
        ("NotResolved", "ApproximateNumberOfMessagesVisible", "AWS/SQS"),
    ],
)
def test_the_first_one_is_told_within_a_minute(
    stack: Stack, make: Make, name: str, metric: str, namespace: str
) -> None:
    """Of what should never happen, one is enough."""
    make()
    alarm = alarm_of(stack, name)
    assert (alarm["MetricName"], alarm["Namespace"]) == (metric, namespace)
    assert (alarm["Threshold"], alarm["Period"], alarm["EvaluationPeriods"]) == (1, 60, 1)


def test_poison_is_told_although_it_is_taken_out_at_once(stack: Stack, make: Make) -> None:
    """What waits and what was sent, whichever is more."""
    make()
    (result,) = [query for query in alarm_of(stack, "PoisonWaiting")["Metrics"] if "Expression" in query]
    assert result["Expression"] == "MAX([waiting, sent])"


def test_looking_at_poison_does_not_disarm_its_alarm(stack: Stack, make: Make) -> None:
    """It counts hours in which anything could be seen, for the week that CloudWatch can look back."""
    make()
    alarm = alarm_of(stack, "PoisonExpiring")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    # what is received is hidden for a quarter of an hour: the most of an hour still sees it
    assert (alarm["Statistic"], alarm["Period"]) == ("Maximum", HOUR)
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 7 * 24 * HOUR
    assert "seven days" in alarm["AlarmDescription"]


def test_lists_and_records_are_not_compared(make: Make) -> None:
    """With lists, what is completed is counted in lists and poison in records: there is no rate."""
    assert "PoisonRate" not in make(per_batch=True).alarms


def test_why_lambda_gave_up_is_told_with_the_likeliest_first(stack: Stack, make: Make) -> None:
    """A dead process, a function that raised, an outage; and what their kind is in the store."""
    make()
    text = alarm_of(stack, "DiscardedRecords")["AlarmDescription"]
    causes = (
        "the process died",
        "did not end in time",
        "the function raised",
        "outage outlasted the retries",
    )
    assert [text.index(cause) for cause in causes] == sorted(text.index(cause) for cause in causes)
    assert "GIVEN_UP" in text
    assert "AGED" in text


def test_a_hot_shard_is_one_that_is_full_in_a_stream_that_is_not(stack: Stack, make: Make) -> None:
    """Writes are throttled below half of what all shards take in a minute."""
    make(shards=4)
    (result,) = [query for query in alarm_of(stack, "HotShard")["Metrics"] if "Expression" in query]
    assert result["Expression"] == "IF(throttled > 0 AND bytes < 125829120 AND records < 120000, 1, 0)"


def test_shard_metrics_show_each_shard(stack: Stack, make: Make) -> None:
    """The stream tells of each shard, and the dashboard draws whichever there are."""
    make(shard_metrics=True)
    template = assertions.Template.from_stack(stack)
    template.has_resource_properties("AWS::Kinesis::Stream", {"DesiredShardLevelMetrics": ["ALL"]})
    text = json.dumps(template.find_resources("AWS::CloudWatch::Dashboard"))
    for name in ("IncomingBytes", "IteratorAgeMilliseconds"):
        assert "{AWS/Kinesis,ShardId,StreamName} MetricName=" in text
        assert name in text
    assert "SEARCH('" in text


def test_its_metrics_are_there_for_other_alarms(stack: Stack, make: Make) -> None:
    """Each names what it counts, how, and of whom."""
    consumer = make()
    assert [
        (metric.metric_name, metric.statistic, whose(_dimensions(stack, metric)))
        for metric in (
            consumer.metric_record_age(),
            consumer.metric_poisoned(),
            consumer.metric_parked(),
            consumer.metric_poison_waiting(),
            consumer.metric_discarded(),
            consumer.metric_expired(),
        )
    ] == [
        ("IteratorAge", "Maximum", FUNCTION),
        ("Poisoned", "Sum", FUNCTION),
        ("Parked", "Sum", FUNCTION),
        ("ApproximateNumberOfMessagesVisible", "Maximum", POISON),
        ("OnFailureDestinationDeliveredEventCount", "Sum", MAPPING),
        ("RecordsExpired", "Sum", "FunctionName OrdersResolverFunction"),
    ]


def _dimensions(stack: Stack, metric: cloudwatch.Metric) -> list[dict[str, Any]]:
    named = dict(stack.resolve(metric.dimensions))
    return [{"Name": name, "Value": value} for name, value in named.items()]


def test_the_saved_queries_search_function_and_resolver(stack: Stack, make: Make) -> None:
    """A record's story may end in either."""
    make()
    queries = assertions.Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition")
    poison = [each for each in queries.values() if "poison" in str(each["Properties"]["Name"])]
    assert len(poison) == 1
    assert all(len(each["Properties"]["LogGroupNames"]) == 2 for each in queries.values())


def test_every_alarm_finds_its_runbook(stack: Stack, make: Make) -> None:
    """Each text ends in its own anchor."""
    consumer = make(shards=2)
    for name in consumer.alarms:
        text = str(alarm_of(stack, name)["AlarmDescription"])
        assert text.endswith(f"#{alarms._anchor(name)}")


def test_a_copy_costs_few_round_trips(stack: Stack, handler: Handler) -> None:
    """A stream, two functions, four places to keep things and 19 alarms: at most 64 requests to Node."""
    on_call = OnCall(stack, "OnCall", email="ops@example.com")
    KinesisBisectConsumer(stack, "First", handler=handler, on_call=on_call)
    with count_jsii() as requests:
        KinesisBisectConsumer(stack, "Second", handler=handler, on_call=on_call)
    assert requests.count <= MOST_REQUESTS, dict(requests.by_target)
