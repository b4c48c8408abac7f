"""What a flow-controlled consumer makes, and what it refuses to make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from resilient_constructs import Downstream, FlowControlledConsumer, Handler, OnCall
from resilient_constructs.testing import count_jsii

Match = assertions.Match


def make_function(stack: Stack, name: str = "Given", **given: Any) -> lambda_.Function:
    """A function that is not ours."""
    return lambda_.Function(
        stack,
        name,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        **given,
    )


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


@pytest.fixture(scope="module")
def template() -> assertions.Template:
    """A consumer of a given function, with all defaults but the downstream."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(5))
    function = make_function(stack, timeout=Duration.seconds(20))
    FlowControlledConsumer(stack, "Delivery", function=function, downstream=courier)
    return assertions.Template.from_stack(stack)


def only(template: assertions.Template, kind: str, **properties: Any) -> Mapping[str, Any]:
    """The one resource of a kind that has these properties."""
    found = template.find_resources(kind, {"Properties": properties} if properties else None)
    assert len(found) == 1, sorted(found)
    return next(iter(found.values()))["Properties"]


def test_the_mapping_holds_the_function_to_the_downstreams_concurrency(template: assertions.Template) -> None:
    """One message an invocation, failures one by one, metrics on, and rate × latency invocations at most."""
    mapping = only(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 50}
    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
    assert "MaximumBatchingWindowInSeconds" not in mapping


def test_the_queue_hides_a_message_for_six_times_the_timeout(template: assertions.Template) -> None:
    """The visibility timeout is six times the function's own timeout."""
    queue = only(template, "AWS::SQS::Queue", VisibilityTimeout=Match.any_value())
    assert queue["VisibilityTimeout"] == 6 * 20


def test_both_queues_are_encrypted_and_keep_messages_for_14_days(template: assertions.Template) -> None:
    """Source and dead-letter queue use SSE-SQS and the longest retention."""
    queues = template.find_resources("AWS::SQS::Queue")
    assert len(queues) == 2
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 86_400


def test_both_queues_refuse_plain_http(template: assertions.Template) -> None:
    """Each queue has a policy that denies everything without TLS."""
    policies = template.find_resources("AWS::SQS::QueuePolicy")
    assert len(policies) == 2
    for policy in policies.values():
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_message_is_given_up_after_ten_receives(template: assertions.Template) -> None:
    """The source queue redrives to the dead-letter queue after ten receives."""
    queue = only(template, "AWS::SQS::Queue", RedrivePolicy=Match.any_value())
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 10
    assert "Fn::GetAtt" in queue["RedrivePolicy"]["deadLetterTargetArn"]


def test_the_dead_letter_queue_takes_from_its_own_source_only(template: assertions.Template) -> None:
    """The redrive allow policy names the source queue by the name that it gets, without a reference to it."""
    source = only(template, "AWS::SQS::Queue", RedrivePolicy=Match.any_value())
    dead = only(template, "AWS::SQS::Queue", RedriveAllowPolicy=Match.any_value())
    allow = dead["RedriveAllowPolicy"]
    assert allow["redrivePermission"] == "byQueue"
    (arn,) = allow["sourceQueueArns"]
    name = source["QueueName"]["Fn::Join"][1]
    assert arn["Fn::Join"][1][-len(name) + 1 :] == name[1:]
    assert arn["Fn::Join"][1][-len(name)].endswith(":" + name[0])
    assert "GetAtt" not in str(arn)


def test_the_source_queues_name_is_unique_and_fits(template: assertions.Template) -> None:
    """The name is the construct's path, a hash and the stack's UUID, at most 80 characters with .fifo."""
    own, uuid = only(template, "AWS::SQS::Queue", RedrivePolicy=Match.any_value())["QueueName"]["Fn::Join"][1]
    assert uuid == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
    assert own.startswith("Shop-Delivery-")
    assert len(own) + 36 + len(".fifo") <= 80


def test_the_function_may_poll_and_nothing_else(template: assertions.Template) -> None:
    """The role gets exactly the three actions of Lambda's pollers, on the source queue."""
    policy = only(template, "AWS::IAM::Policy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    assert "Queue" in statement["Resource"]["Fn::GetAtt"][0]


def test_a_fifo_consumer_has_two_fifo_queues(stack: Stack) -> None:
    """A FIFO consumer's queues are FIFO both, deduplicate by content, and the source's name ends in .fifo."""
    FlowControlledConsumer(stack, "Delivery", function=make_function(stack), fifo=True)
    template = assertions.Template.from_stack(stack)
    template.resource_properties_count_is(
        "AWS::SQS::Queue", {"FifoQueue": True, "ContentBasedDeduplication": True}, 2
    )
    source = only(template, "AWS::SQS::Queue", RedrivePolicy=Match.any_value())
    assert source["QueueName"]["Fn::Join"][1][-1] == ".fifo"
    assert source["FifoThroughputLimit"] == "perMessageGroupId"


def test_without_a_downstream_ten_run_at_once(stack: Stack) -> None:
    """Max concurrency is always set: ten where nothing says better, fewer where fewer are reserved."""
    ten = FlowControlledConsumer(stack, "Ten", function=make_function(stack, "A"))
    three = FlowControlledConsumer(
        stack, "Three", function=make_function(stack, "B", reserved_concurrent_executions=3)
    )
    assert (ten.max_concurrency, three.max_concurrency) == (10, 3)


def test_the_smallest_of_several_downstreams_decides(stack: Stack) -> None:
    """A consumer of two downstreams runs at the concurrency of the weaker one."""
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        function=make_function(stack),
        downstream=[Downstream(stack, "Strong", connections=90), Downstream(stack, "Weak", connections=7)],
    )
    assert consumer.max_concurrency == 7


def test_an_alias_consumes_as_well_as_a_function(stack: Stack) -> None:
    """An alias is invoked by its own ARN, its function's timeout counts, and its metrics are its own."""
    function = make_function(stack, timeout=Duration.seconds(9))
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    consumer = FlowControlledConsumer(stack, "Delivery", function=alias)
    template = assertions.Template.from_stack(stack)
    mapping = only(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionName"] == {"Ref": Match.any_value()} or "Live" in str(mapping["FunctionName"])
    assert consumer.visibility_timeout_seconds == 54
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "Throttles",
            "Dimensions": [{"Name": "FunctionName"}, {"Name": "Resource", "Value": Match.any_value()}],
        },
    )


def test_a_function_without_a_timeout_has_lambdas_three_seconds(stack: Stack) -> None:
    """Lambda's default timeout of three seconds counts where the function sets none."""
    consumer = FlowControlledConsumer(stack, "Delivery", function=make_function(stack))
    assert consumer.visibility_timeout_seconds == 18


def test_an_imported_function_needs_its_visibility_said_and_its_role_named(stack: Stack) -> None:
    """Its timeout cannot be read, a fault; nor its role, a warning that says what to allow."""
    imported = lambda_.Function.from_function_arn(
        stack, "Imported", "arn:aws:lambda:eu-central-1:111122223333:function:deliver"
    )
    with pytest.raises(ValueError, match="visibility_timeout is None; allowed: say it yourself, because the"):
        FlowControlledConsumer(stack, "Unsaid", function=imported)
    FlowControlledConsumer(stack, "Said", function=imported, visibility_timeout=Duration.minutes(3))
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Said", Match.string_like_regexp("0 of the 3 permissions.*sqs:DeleteMessage")
    )


def test_a_customer_key_is_granted_to_the_pollers_and_to_senders(stack: Stack) -> None:
    """Both queues use the key; the function may decrypt with it, a sender may also make data keys."""
    consumer = FlowControlledConsumer(
        stack, "Delivery", function=make_function(stack), encryption_key=kms.Key(stack, "Key")
    )
    sender = iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
    consumer.grant_send_messages(sender)
    template = assertions.Template.from_stack(stack)
    template.resource_properties_count_is("AWS::SQS::Queue", {"KmsMasterKeyId": Match.any_value()}, 2)
    statements = [
        (one["Action"], role["Ref"])
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        for role in policy["Properties"]["Roles"]
    ]
    assert (
        "kms:Decrypt",
        next(r for a, r in statements if isinstance(a, list) and len(a) == 3),
    ) in statements
    assert (["kms:Decrypt", "kms:GenerateDataKey"], "SenderF5F9B8E0") in statements
    assert ("sqs:SendMessage", "SenderF5F9B8E0") in statements


def test_a_given_queue_is_used_as_it_is(stack: Stack) -> None:
    """A given queue stays as it is, its own dead-letter queue is watched, and nothing else is made."""
    dead = sqs.Queue(stack, "Dead")
    queue = sqs.Queue(stack, "Mine", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=7))
    consumer = FlowControlledConsumer(stack, "Delivery", function=make_function(stack), queue=queue)
    assert consumer.queue is queue
    assert "DeadLetters" in consumer.alarms
    assertions.Template.from_stack(stack).resource_count_is("AWS::SQS::Queue", 2)


def test_a_given_queue_without_dead_letters_is_warned_of(stack: Stack) -> None:
    """A queue that nothing ever leaves but by success is legal, and told to be risky."""
    queue = sqs.Queue(stack, "Mine")
    consumer = FlowControlledConsumer(stack, "Delivery", function=make_function(stack), queue=queue)
    assert "DeadLetters" not in consumer.alarms
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Delivery", Match.string_like_regexp("has 0 dead-letter queues; 1 is needed")
    )
    with pytest.raises(ValueError, match="no metric of it"):
        consumer.metric_dead_letters()


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


@pytest.fixture(scope="module")
def handled(tmp_path_factory: pytest.TempPathFactory) -> tuple[assertions.Template, FlowControlledConsumer]:
    """A consumer with a handler and a customer key."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "delivery.py").write_text("def deliver(order, call): ...\n")
    stack = Stack(App(), "Shop")
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        handler=Handler.from_directory(code, "delivery.deliver"),
        downstream=Downstream(stack, "Courier", requests_per_second=10, burst=20),
        encryption_key=kms.Key(stack, "Key"),
    )
    return assertions.Template.from_stack(stack), consumer


def test_a_handler_is_told_its_dead_letter_queue_and_downstream(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The environment names the dead-letter queue, and the downstream with this consumer's share."""
    template, _ = handled
    environment = only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert environment["RESILIENT_MODE"] == "messages"
    assert "DeadLetterQueue" in environment["RESILIENT_DEAD_LETTER_QUEUE_URL"]["Ref"]
    assert json.loads(environment["RESILIENT_DOWNSTREAMS"]) == [
        {"name": "Courier", "requests_per_second": 10, "burst": 20, "max_concurrency": 10}
    ]


def test_a_handlers_queue_hides_messages_for_six_times_30_seconds(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The default timeout of 30 seconds gives a visibility timeout of three minutes."""
    template, consumer = handled
    assert only(template, "AWS::Lambda::Function")["Timeout"] == 30
    assert consumer.visibility_timeout_seconds == 180


def test_a_handlers_role_may_poll_reject_and_use_the_key(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The role may take from the queue, send to the dead-letter queue and use the key; no wildcard."""
    template, _ = handled
    statements = only(template, "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    actions = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert {name for name in actions if name.startswith(("sqs:", "kms:"))} == {
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    }
    assert all("*" not in action for action in actions)


def test_the_mapping_is_made_after_the_permission_to_poll(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """Lambda checks the role when the mapping is made, so the function stands after its policy."""
    template, _ = handled
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    (policy,) = template.find_resources("AWS::IAM::Policy")
    assert policy in function["DependsOn"]


def test_every_signal_has_its_alarm(handled: tuple[assertions.Template, FlowControlledConsumer]) -> None:
    """Age, dead letters, failures, saturation, errors, throttles and unfinished work each have an alarm."""
    _, consumer = handled
    assert set(consumer.alarms) == {
        "OldestMessageAge",
        "DeadLetters",
        "FailingMessages",
        "ConcurrencySaturated",
        "Errors",
        "Throttles",
        "Unfinished",
    }


def test_one_dead_letter_is_seen_within_a_minute(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """Waiting, sent or taken out: one dead letter in one minute is enough."""
    template, _ = handled
    alarm = only(
        template,
        "AWS::CloudWatch::Alarm",
        Metrics=Match.array_with([Match.object_like({"Expression": "MAX([waiting, sent, received])"})]),
    )
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)
    measured = {
        one["MetricStat"]["Metric"]["MetricName"]: one["MetricStat"]["Period"]
        for one in alarm["Metrics"]
        if "MetricStat" in one
    }
    assert measured == {
        "ApproximateNumberOfMessagesVisible": 60,
        "NumberOfMessagesSent": 60,
        "NumberOfMessagesReceived": 60,
    }


def test_handler_faults_are_told_with_all_the_others(stack: Stack, tmp_path: Path) -> None:
    """A missing handler file and an impossible concurrency are two faults of one error."""
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery' has 2 faults"):
        FlowControlledConsumer(
            stack,
            "Delivery",
            handler=Handler.from_directory(tmp_path / "nowhere", "delivery.deliver"),
            max_concurrency=1,
        )


def test_a_copy_costs_at_most_25_round_trips(tmp_path: Path) -> None:
    """Queues, function, mapping, alarms and dashboard of one further consumer cost at most 25 requests."""
    (tmp_path / "delivery.py").write_text("def deliver(order, call): ...\n")
    handler = Handler.from_directory(tmp_path, "delivery.deliver")
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=100)
    on_call = OnCall(stack, "OnCall", email="ops@example.com")

    def make(name: str) -> None:
        FlowControlledConsumer(
            stack, name, handler=handler, downstream=courier, max_concurrency=10, on_call=on_call
        )

    make("First")
    with count_jsii() as requests:
        make("Second")
    assert requests.count <= 25, requests.by_target
