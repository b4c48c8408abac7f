"""The defaults of a ResilientFunction, what it takes, and what it refuses."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, NestedStack, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from resilient_constructs import Handler, OnCall, ResilientFunction
from resilient_constructs.testing import count_jsii


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """A handler that works."""
    folder = tmp_path_factory.mktemp("handlers")
    (folder / "delivery.py").write_text("def deliver(order, call):\n    return None\n")
    return Handler.from_directory(folder, "delivery.deliver")


@pytest.fixture(scope="module")
def plain(handler: Handler) -> Template:
    """A function with nothing but its handler."""
    stack = Stack(App(), "Plain")
    ResilientFunction(stack, "Delivery", handler=handler)
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def asynchronous(handler: Handler) -> Template:
    """A function that is invoked asynchronously, with somebody on call."""
    stack = Stack(App(), "Asynchronous")
    ResilientFunction(stack, "Delivery", handler=handler, asynchronous=True, on_call=OnCall(stack, "OnCall"))
    return Template.from_stack(stack)


def function_of(template: Template) -> dict[str, Any]:
    """The one function's properties."""
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    properties: dict[str, Any] = function["Properties"]
    return properties


def statements_of(template: Template) -> list[dict[str, Any]]:
    """Every statement of every role's policy."""
    policies = template.find_resources("AWS::IAM::Policy").values()
    return [one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]]


def test_defaults(plain: Template) -> None:
    """A function is arm64, on the newest Python, with memory and timeout said, JSON logs and tracing."""
    function = function_of(plain)
    assert function["Architectures"] == ["arm64"]
    assert function["Runtime"] == "python3.14"
    assert function["MemorySize"] == 256
    assert function["Timeout"] == 30
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert "FunctionName" not in function


def test_log_group(plain: Template) -> None:
    """Its log group is its own, keeps logs for a month, and has no name of ours."""
    plain.has_resource_properties(
        "AWS::Logs::LogGroup", {"RetentionInDays": 30, "LogGroupName": Match.absent()}
    )
    (group,) = plain.find_resources("AWS::Logs::LogGroup")
    assert function_of(plain)["LoggingConfig"]["LogGroup"] == {"Ref": group}


def test_entry_point(plain: Template) -> None:
    """Lambda calls our entry point from the layer, and the user's handler stands in the environment."""
    function = function_of(plain)
    assert function["Handler"] == "resilient_runtime.entry.handler"
    assert function["Environment"]["Variables"] == {
        "RESILIENT_HANDLER": "delivery.deliver",
        "RESILIENT_MODE": "event",
        "RESILIENT_SERVICE": "Delivery",
    }
    (layer,) = plain.find_resources("AWS::Lambda::LayerVersion")
    assert function["Layers"] == [{"Ref": layer}]


def test_least_privilege(plain: Template) -> None:
    """Its role writes its own log and sends traces, which takes no resource, and may do nothing else."""
    (group,) = plain.find_resources("AWS::Logs::LogGroup")
    assert statements_of(plain) == [
        {
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": [group, "Arn"]},
        },
        {
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Effect": "Allow",
            "Resource": "*",
        },
    ]
    (role,) = plain.find_resources("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role["Properties"]


def test_starts_with_its_permissions(plain: Template) -> None:
    """The function is made after its role's policy, so that its first log line is not refused."""
    (function,) = plain.find_resources("AWS::Lambda::Function").values()
    (policy,) = plain.find_resources("AWS::IAM::Policy")
    assert policy in function["DependsOn"]


def test_alarms(plain: Template) -> None:
    """Each alarm has dimensions, a missing-data treatment and a reason, also with nobody on call."""
    alarms = plain.find_resources("AWS::CloudWatch::Alarm").values()
    assert len(alarms) == 5
    for alarm in alarms:
        properties = alarm["Properties"]
        assert properties["TreatMissingData"] == "notBreaching"
        assert len(properties["AlarmDescription"]) > 100
        assert properties.get("Dimensions") or all(
            query["MetricStat"]["Metric"]["Dimensions"]
            for query in properties["Metrics"]
            if "MetricStat" in query
        )


def test_asynchronous_failures_are_kept(asynchronous: Template) -> None:
    """Used asynchronously, events that fail for good go to an encrypted, TLS-only queue for 14 days."""
    (queue,) = asynchronous.find_resources("AWS::SQS::Queue")
    asynchronous.has_resource_properties(
        "AWS::SQS::Queue", {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 1_209_600}
    )
    asynchronous.has_resource_properties(
        "AWS::SQS::QueuePolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
                        )
                    ]
                )
            }
        },
    )
    asynchronous.has_resource_properties(
        "AWS::Lambda::EventInvokeConfig",
        {"DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}}},
    )


def test_asynchronous_alarms_act(asynchronous: Template) -> None:
    """With somebody on call each alarm tells them when it goes off and when all is well again."""
    alarms = asynchronous.find_resources("AWS::CloudWatch::Alarm").values()
    assert len(alarms) == 9
    assert all(alarm["Properties"]["AlarmActions"] for alarm in alarms)
    assert all(alarm["Properties"]["OKActions"] for alarm in alarms)


def test_messages(stack: Stack, handler: Handler) -> None:
    """In mode messages it knows its dead-letter queue and may do nothing to it but send."""
    queue = sqs.Queue(stack, "DeadLetters")
    ResilientFunction(
        stack, "Delivery", handler=handler, mode="messages", dead_letter_queue=queue, service="Shop"
    )
    template = Template.from_stack(stack)
    (name,) = template.find_resources("AWS::SQS::Queue")
    variables = function_of(template)["Environment"]["Variables"]
    assert variables["RESILIENT_DEAD_LETTER_QUEUE_URL"] == {"Ref": name}
    assert variables["RESILIENT_SERVICE"] == "Shop"
    assert {
        "Action": "sqs:SendMessage",
        "Effect": "Allow",
        "Resource": {"Fn::GetAtt": [name, "Arn"]},
    } in statements_of(template)


def test_customer_key(stack: Stack, handler: Handler) -> None:
    """A dead-letter queue with a customer's key is no use without the key, so that is granted too."""
    key = kms.Key(stack, "Key")
    queue = sqs.Queue(stack, "DeadLetters", encryption_master_key=key)
    ResilientFunction(stack, "Delivery", handler=handler, mode="messages", dead_letter_queue=queue)
    actions = [one["Action"] for one in statements_of(Template.from_stack(stack))]
    assert ["kms:GenerateDataKey", "kms:Decrypt"] in actions


def test_all_faults_at_once(stack: Stack, tmp_path: Path) -> None:
    """Everything that is wrong is told in one error, each with its value, its range and the AWS page."""
    with pytest.raises(ValueError, match=r"ResilientFunction 'Delivery' has 12 faults") as caught:
        ResilientFunction(
            stack,
            "Delivery",
            handler=Handler.from_directory(tmp_path, "delivery.deliver"),
            mode="messages",
            timeout=Duration.minutes(16),
            memory_size=64,
            reserved_concurrency=-1,
            runtime=lambda_.Runtime.NODEJS_22_X,
            retry_attempts=3,
            environment={"RESILIENT_MODE": "x", "AWS_REGION": "x", "9": "x", "BIG": "x" * 5000},
        )
    for told in (
        "timeout is 960; allowed: whole numbers, 1 to 900 seconds",
        "memory_size is 64",
        "reserved_concurrency is -1",
        "runtime is 'nodejs22.x'",
        "retry_attempts is 3; allowed: whole numbers, 0 to 2",
        "retry_attempts is 3; allowed: None unless asynchronous=True",
        "dead_letter_queue is None",
        "'RESILIENT_MODE'",
        "'AWS_REGION'",
        "environment is '9'",
        "4,096 bytes",
        "handler is 'delivery.deliver'",
    ):
        assert told in str(caught.value)
    assert str(caught.value).count("https://docs.aws.amazon.com/lambda/") == 12


def test_dead_letters_without_messages(stack: Stack, handler: Handler) -> None:
    """A dead-letter queue that nothing would use is refused, and so is the grant that would go with it."""
    with pytest.raises(ValueError, match="None in mode 'event'"):
        ResilientFunction(stack, "D", handler=handler, dead_letter_queue=sqs.Queue(stack, "Q"))


def test_half_seconds(stack: Stack, handler: Handler) -> None:
    """A timeout in halves of a second is refused by its name."""
    with pytest.raises(ValueError, match=r"ResilientFunction 'D': timeout is 1.5; allowed: whole numbers"):
        ResilientFunction(stack, "D", handler=handler, timeout=Duration.millis(1500))


def test_messages_are_not_asynchronous(stack: Stack, handler: Handler) -> None:
    """SQS is polled, so asynchronous settings beside mode messages are refused."""
    queue = sqs.Queue(stack, "Q")
    with pytest.raises(ValueError, match="asynchronous is True"):
        ResilientFunction(
            stack, "D", handler=handler, mode="messages", dead_letter_queue=queue, asynchronous=True
        )


def test_retention_beside_a_log_group(stack: Stack, handler: Handler) -> None:
    """A retention beside a log group that was handed in would do nothing, so it is refused."""
    group = logs.LogGroup(stack, "Logs")
    with pytest.raises(ValueError, match="log_retention is 'ONE_DAY'"):
        ResilientFunction(
            stack, "D", handler=handler, log_group=group, log_retention=logs.RetentionDays.ONE_DAY
        )


def test_tokens_pass(stack: Stack, handler: Handler) -> None:
    """Numbers and durations that are only known at deploy reach the template as they are."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    made = ResilientFunction(
        stack,
        "Delivery",
        handler=handler,
        timeout=Duration.seconds(number),
        memory_size=number,
        reserved_concurrency=number,
        environment={"SECRET": CfnParameter(stack, "Text").value_as_string},
    )
    template = Template.from_stack(stack)
    function = function_of(template)
    for prop in ("Timeout", "MemorySize", "ReservedConcurrentExecutions"):
        assert function[prop] == {"Ref": "Number"}
    assert set(made.alarms) == {"ContainerHealth", "Errors", "Throttles"}


def test_handed_in(stack: Stack, handler: Handler) -> None:
    """A role, a log group and a destination of the user's own are used, and no others are made."""
    role = iam.Role(stack, "MyRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    group = logs.LogGroup(stack, "MyLogs")
    topic = sns.Topic(stack, "MyTopic")
    made = ResilientFunction(
        stack,
        "Delivery",
        handler=handler,
        role=role,
        log_group=group,
        asynchronous=True,
        on_failure=destinations.SnsDestination(topic),
        max_event_age=Duration.hours(1),
        retry_attempts=0,
    )
    assert made.on_failure_queue is None
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::IAM::Role", 1)
    template.resource_count_is("AWS::Logs::LogGroup", 1)
    template.resource_count_is("AWS::SQS::Queue", 0)
    template.has_resource_properties(
        "AWS::Lambda::EventInvokeConfig", {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 3600}
    )


def test_reserved_concurrency(stack: Stack, handler: Handler) -> None:
    """A reserved concurrency is set, also to none at all, and its saturation is watched."""
    ten = ResilientFunction(stack, "Ten", handler=handler, reserved_concurrency=10)
    ResilientFunction(stack, "Stopped", handler=handler, reserved_concurrency=0)
    assert "ConcurrencySaturation" in ten.alarms
    template = Template.from_stack(stack)
    for value in (10, 0):
        template.has_resource_properties("AWS::Lambda::Function", {"ReservedConcurrentExecutions": value})


def test_unmonitored(stack: Stack, handler: Handler) -> None:
    """Left unmonitored it makes neither alarm nor dashboard, for a construct that watches it itself."""
    made = ResilientFunction(stack, "Delivery", handler=handler, monitored=False)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CloudWatch::Alarm", 0)
    template.resource_count_is("AWS::CloudWatch::Dashboard", 0)
    assert made.alarms == {}


def test_grants_and_metrics(stack: Stack, handler: Handler) -> None:
    """What an L2 function can grant and measure, this one can."""
    made = ResilientFunction(stack, "Delivery", handler=handler)
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("events.amazonaws.com"))
    made.grant_invoke(caller)
    made.add_to_role_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=["arn:aws:s3:::b/k"]))
    made.add_environment("COLOUR", "blue")
    template = Template.from_stack(stack)
    actions = [one["Action"] for one in statements_of(template)]
    assert "lambda:InvokeFunction" in actions
    assert "s3:GetObject" in actions
    assert function_of(template)["Environment"]["Variables"]["COLOUR"] == "blue"
    metrics = (made.metric_errors, made.metric_throttles, made.metric_duration, made.metric_invocations)
    assert [metric().metric_name for metric in metrics] == ["Errors", "Throttles", "Duration", "Invocations"]
    with pytest.raises(ValueError, match="RESILIENT_MODE"):
        made.add_environment("RESILIENT_MODE", "messages")


def test_one_layer(handler: Handler) -> None:
    """A stack has one runtime layer however many functions it has, and a nested stack has its own."""
    stack = Stack(App(), "Stack")
    nested = NestedStack(stack, "Nested")
    for name in ("One", "Two"):
        ResilientFunction(stack, name, handler=handler)
        gc.collect()
    ResilientFunction(nested, "Three", handler=handler)
    for each in (stack, nested):
        Template.from_stack(each).resource_count_is("AWS::Lambda::LayerVersion", 1)


def test_layer_outlives_its_stacks_object(app: App, handler: Handler) -> None:
    """The layer is found again when the Python object of its stack was collected in between."""

    def add(name: str) -> None:
        here = app.node.try_find_child("Stack")
        ResilientFunction(here or Stack(app, "Stack"), name, handler=handler)

    for name in ("One", "Two", "Three"):
        add(name)
        gc.collect()
    stack = app.node.find_child("Stack")
    assert isinstance(stack, Stack)
    Template.from_stack(stack).resource_count_is("AWS::Lambda::LayerVersion", 1)


def test_same_content_same_template(tmp_path: Path) -> None:
    """The same handler in two folders makes the same template, so that snapshots are stable."""
    templates = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "delivery.py").write_text("def deliver(order, call):\n    return None\n")
        stack = Stack(App(), "Stack")
        ResilientFunction(stack, "D", handler=Handler.from_directory(folder, "delivery.deliver"))
        templates.append(Template.from_stack(stack).to_json())
    assert templates[0] == templates[1]


def test_cheap(handler: Handler) -> None:
    """A further function of the same folder takes a dozen requests to Node, alarms and dashboard included."""
    stack = Stack(App(), "Stack")
    on_call = OnCall(stack, "OnCall")
    queue = sqs.Queue(stack, "DeadLetters")
    ResilientFunction(stack, "First", handler=handler, on_call=on_call)
    with count_jsii() as plain:
        ResilientFunction(stack, "Plain", handler=handler, on_call=on_call)
    with count_jsii() as messages:
        ResilientFunction(
            stack, "Messages", handler=handler, mode="messages", dead_letter_queue=queue, on_call=on_call
        )
    with count_jsii() as asynchronous:
        ResilientFunction(stack, "Async", handler=handler, asynchronous=True, on_call=on_call)
    assert plain.count <= 11
    assert messages.count <= 15
    assert asynchronous.count <= 19
