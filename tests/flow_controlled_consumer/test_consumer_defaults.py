"""What a flow-controlled consumer makes."""

from __future__ import annotations

import pytest
from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from consumer_parts import make_function, only

from resilient_constructs import Downstream, FlowControlledConsumer

Match = assertions.Match


@pytest.fixture(scope="module")
def template() -> assertions.Template:
    """A consumer of a given function, with all defaults but the downstream."""
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(5))
    function = make_function(stack, timeout=Duration.seconds(20))
    FlowControlledConsumer(stack, "Delivery", function=function, downstream=courier)
    return assertions.Template.from_stack(stack)


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


def test_the_mapping_is_made_once_the_function_may_poll(template: assertions.Template) -> None:
    """Lambda checks permissions when the mapping is made, so the policy that grants them stands before."""
    [mapping] = template.find_resources("AWS::Lambda::EventSourceMapping").values()
    policies = template.find_resources("AWS::IAM::Policy")
    assert policies
    assert policies.keys() <= set(mapping["DependsOn"])


def test_both_fifo_queues_take_each_message_group_at_full_throughput(stack: Stack) -> None:
    """When everything fails at once, dead letters come as fast as messages: neither queue is the slower."""
    FlowControlledConsumer(stack, "Delivery", function=make_function(stack), fifo=True)
    queues = assertions.Template.from_stack(stack).find_resources("AWS::SQS::Queue")
    assert [
        (queue["Properties"]["DeduplicationScope"], queue["Properties"]["FifoThroughputLimit"])
        for queue in queues.values()
    ] == [("messageGroup", "perMessageGroupId")] * 2


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
