"""What a flow-controlled consumer refuses, warns of and passes on."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_sqs as sqs
from consumer_parts import make_function, only

from resilient_constructs import FlowControlledConsumer

Match = assertions.Match


def test_settings_of_a_given_queue_are_not_ignored_in_silence(stack: Stack) -> None:
    """What a given queue or function would not get is refused, all at once."""
    with pytest.raises(ValueError, match="6 faults") as error:
        FlowControlledConsumer(
            stack,
            "Delivery",
            function=make_function(stack),
            queue=sqs.Queue(stack, "Mine"),
            fifo=True,
            max_receive_count=5,
            visibility_timeout=Duration.minutes(3),
            timeout=Duration.seconds(3),
            memory_size=512,
            reserved_concurrency=20,
        )
    assert "set it on the given queue itself" in str(error.value)
    assert "set it on the given function itself" in str(error.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_concurrency": 1}, "max_concurrency is 1; allowed: WHOLE2 to 1,000 invocations"),
        (
            {"max_concurrency": 1001},
            "max_concurrency is 1001; allowed: WHOLE2 to 1,000 invocations",
        ),
        ({"max_concurrency": 21}, "max_concurrency is 21; allowed: at most the function's reserved"),
        (
            {"visibility_timeout": Duration.seconds(19)},
            "visibility_timeout is 19; allowed: at least the function's timeout of 20 seconds",
        ),
        (
            {"visibility_timeout": Duration.millis(20_500)},
            "visibility_timeout is 20.5; allowed: WHOLE0 to 43,200",
        ),
        (
            {"visibility_timeout": Duration.hours(13)},
            "visibility_timeout is 46800; allowed: WHOLE0 to 43,200",
        ),
        ({"batch_size": 0}, "batch_size is 0; allowed: WHOLE1 to 10,000 messages"),
        ({"batch_size": 11}, "batching_window is 0; allowed: 1 to 300 seconds, because batch_size 11"),
        (
            {"batching_window": Duration.seconds(301)},
            "batching_window is 301; allowed: WHOLE0 to 300",
        ),
        (
            {"batch_size": 11, "fifo": True},
            "batch_size is 11; allowed: WHOLE1 to 10 messages of a FIFO queue",
        ),
        (
            {"batching_window": Duration.seconds(5), "fifo": True},
            "batching_window is 5; allowed: none for a FIFO queue",
        ),
        ({"max_receive_count": 0}, "max_receive_count is 0; allowed: WHOLE1 to 1,000 receives"),
        (
            {"max_receive_count": 1001},
            "max_receive_count is 1001; allowed: WHOLE1 to 1,000 receives",
        ),
        (
            {"alarm_when_older_than": Duration.seconds(5)},
            "alarm_when_older_than is 5; allowed: WHOLE60 to",
        ),
    ],
)
def test_what_aws_would_refuse_is_refused_at_construction(
    stack: Stack, given: dict[str, Any], told: str
) -> None:
    """Every impossible value is named with its owner, its range and its AWS page."""
    function = make_function(stack, timeout=Duration.seconds(20), reserved_concurrent_executions=20)
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery'") as error:
        FlowControlledConsumer(stack, "Delivery", function=function, **given)
    assert told.replace("WHOLE", "whole numbers, ") in str(error.value)
    assert "https://docs.aws.amazon.com/" in str(error.value)


@pytest.mark.parametrize("fifo", [True, False])
def test_a_dead_letter_queue_is_of_its_sources_kind(stack: Stack, fifo: bool) -> None:
    """A FIFO queue with a standard dead-letter queue, or the other way round, is refused at construction."""
    dead_letters = sqs.Queue(stack, "Mine", fifo=None if fifo else True)
    with pytest.raises(ValueError, match=r"dead_letter_queue is 'a (FIFO|standard) queue'; allowed: a "):
        FlowControlledConsumer(
            stack, "Delivery", function=make_function(stack), fifo=fifo, dead_letter_queue=dead_letters
        )


def test_exactly_one_of_handler_and_function(stack: Stack) -> None:
    """A consumer without code is refused."""
    with pytest.raises(ValueError, match="handler, function is 'neither'; allowed: exactly one of the two"):
        FlowControlledConsumer(stack, "Delivery")


def test_tokens_pass_where_nothing_is_computed_from_them(stack: Stack) -> None:
    """Concurrency and visibility may come from parameters; they reach the template as references."""
    concurrency = CfnParameter(stack, "Concurrency", type="Number").value_as_number
    visibility = CfnParameter(stack, "Visibility", type="Number").value_as_number
    FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack),
        max_concurrency=concurrency,  # type: ignore[arg-type]
        visibility_timeout=Duration.seconds(visibility),
    )
    template = assertions.Template.from_stack(stack)
    mapping = only(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "Concurrency"}}
    queue = only(template, "AWS::SQS::Queue", RedrivePolicy=Match.any_value())
    assert queue["VisibilityTimeout"] == {"Ref": "Visibility"}
    assert 'running >= ", {"Ref": "Concurrency"}' in str(template.to_json()["Resources"]).replace("'", '"')


def test_a_token_timeout_needs_its_visibility_said(stack: Stack) -> None:
    """Six times a token cannot be computed, and the error says what to pass instead."""
    timeout = CfnParameter(stack, "Timeout", type="Number").value_as_number
    function = make_function(stack, timeout=Duration.seconds(timeout))
    with pytest.raises(ValueError, match="say it yourself, because timeout or batching_window is a token"):
        FlowControlledConsumer(stack, "Delivery", function=function)


def test_a_short_visibility_is_warned_of_with_both_numbers(stack: Stack) -> None:
    """Between once and six times the timeout is legal and gets a warning with the remedy."""
    FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack, timeout=Duration.seconds(20)),
        visibility_timeout=Duration.seconds(60),
        max_receive_count=3,
    )
    annotations = assertions.Annotations.from_stack(stack)
    annotations.has_warning(
        "/Shop/Delivery",
        Match.string_like_regexp(
            "visibility_timeout is 60 s, but the function may run 20 s.*Raise it to 120"
        ),
    )
    annotations.has_warning(
        "/Shop/Delivery", Match.string_like_regexp("max_receive_count is 3; AWS recommends at least 5")
    )


@pytest.mark.parametrize(("given", "told"), [(None, 30), (Duration.seconds(45), 45)])
def test_a_given_queues_visibility_may_not_be_below_the_timeout(
    given: Duration | None, told: int, stack: Stack
) -> None:
    """Lambda would refuse the mapping at deployment; SQS takes 30 seconds where nothing is said."""
    queue = sqs.Queue(stack, "Mine", visibility_timeout=given)
    function = make_function(stack, timeout=Duration.minutes(1))
    with pytest.raises(ValueError, match=f"queue.visibility_timeout is {told}; allowed: at least .* 60 s"):
        FlowControlledConsumer(stack, "Delivery", function=function, queue=queue)


def test_a_given_queues_short_visibility_is_warned_of(stack: Stack) -> None:
    """The visibility timeout of a given queue is compared as that of one made here."""
    FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack, timeout=Duration.seconds(20)),
        queue=sqs.Queue(stack, "Mine"),
    )
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Delivery",
        Match.string_like_regexp("visibility_timeout is 30 s, .* may run 20 s.*Raise it to 120"),
    )


def test_the_window_counts_towards_the_visibility(stack: Stack) -> None:
    """Six times the timeout plus the batching window, at most twelve hours."""
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack, timeout=Duration.seconds(20)),
        batch_size=100,
        batching_window=Duration.seconds(30),
    )
    assert consumer.visibility_timeout_seconds == 150


def test_filters_become_event_patterns(stack: Stack) -> None:
    """Filters reach the mapping as JSON text."""
    FlowControlledConsumer(
        stack, "Delivery", function=make_function(stack), filters=[{"body": {"kind": ["parcel"]}}]
    )
    mapping = only(assertions.Template.from_stack(stack), "AWS::Lambda::EventSourceMapping")
    assert mapping["FilterCriteria"] == {"Filters": [{"Pattern": '{"body": {"kind": ["parcel"]}}'}]}


@pytest.mark.parametrize("filters", [{"body": {}}, ["parcel"], [{"body": {1}}]], ids=["one", "text", "set"])
def test_filters_that_are_no_patterns_are_refused(stack: Stack, filters: Any) -> None:
    """What would fail at the deployment is told at synth."""
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery': filters is"):
        FlowControlledConsumer(stack, "Delivery", function=make_function(stack), filters=filters)


def test_its_metrics_are_those_of_its_own_queue(stack: Stack) -> None:
    """Each metric method answers with the CDK's metric of this consumer's own resource."""
    consumer = FlowControlledConsumer(stack, "Delivery", function=make_function(stack))
    assert consumer.metric_oldest_message_age().metric_name == "ApproximateAgeOfOldestMessage"
    assert consumer.metric_waiting().metric_name == "ApproximateNumberOfMessagesVisible"
    assert consumer.metric_in_flight().metric_name == "ApproximateNumberOfMessagesNotVisible"
    assert consumer.metric_dead_letters().namespace == "AWS/SQS"
    assert consumer.metric_concurrency().statistic == "Maximum"
    assert consumer.metric_failed().metric_name == "FailedInvokeEventCount"


def test_its_metrics_can_be_watched_from_another_stack() -> None:
    """A metric used in another stack names the queue by an export, not by that stack's own UUID."""
    app = App()
    shop, watch = Stack(app, "Shop"), Stack(app, "Watch")
    consumer = FlowControlledConsumer(shop, "Delivery", function=make_function(shop))
    consumer.metric_waiting().create_alarm(watch, "Alarm", threshold=1, evaluation_periods=1)
    alarm = only(assertions.Template.from_stack(watch), "AWS::CloudWatch::Alarm")
    assert "Fn::ImportValue" in str(alarm)
    assert "AWS::StackId" not in str(alarm)


def test_its_queue_is_a_place_to_store_messages(stack: Stack) -> None:
    """An API route can store in the consumer's queue, by message group where it is FIFO."""
    consumer = FlowControlledConsumer(stack, "Delivery", function=make_function(stack), fifo=True)
    store = consumer.messages(message_group="customer", deduplicate_by="order_id")
    assert (store.queue, store.message_group, store.deduplicate_by) == (
        consumer.queue,
        "customer",
        "order_id",
    )
