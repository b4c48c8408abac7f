"""What a stream's consumer makes when it is given a handler and nothing else."""

from __future__ import annotations

import json

import pytest
from aws_cdk import App, Stack, assertions
from aws_cdk import aws_iam as iam
from stream_parts import allowed, mapping_of, only

from resilient_constructs import Handler, KinesisBisectConsumer

Match = assertions.Match
HOUR = 3600


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack with one consumer, and someone who replays its poison."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "orders.py").write_text("def take(order, call): ...\n")
    stack = Stack(App(), "Shop")
    handler = Handler.from_directory(code, "orders.take")
    consumer = KinesisBisectConsumer(stack, "Orders", handler=handler)
    producer = iam.Role(stack, "Producer", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    consumer.grant_write(producer)
    person = iam.Role(stack, "Person", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    consumer.grant_replay(person)
    return stack


@pytest.fixture(scope="module")
def template(stack: Stack) -> assertions.Template:
    """Its template."""
    return assertions.Template.from_stack(stack)


def test_what_fails_is_halved_tried_again_and_kept(template: assertions.Template) -> None:
    """The mapping halves, tries a lone record twice, answers record by record, and tells what it gave up."""
    mapping = mapping_of(template)
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "DiscardedQueue" in json.dumps(mapping["DestinationConfig"]["OnFailure"])
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
    assert (mapping["BatchSize"], mapping["ParallelizationFactor"]) == (100, 1)


def test_no_record_is_passed_before_the_mapping_was_there(template: assertions.Template) -> None:
    """Reading begins at the oldest record."""
    assert mapping_of(template)["StartingPosition"] == "TRIM_HORIZON"


def test_records_are_given_up_before_they_expire(template: assertions.Template) -> None:
    """The age limit is an eighth below the retention, so that the resolver can still fetch them."""
    assert only(template, "AWS::Kinesis::Stream")["RetentionPeriodHours"] == 72
    assert mapping_of(template)["MaximumRecordAgeInSeconds"] == 63 * HOUR


def test_the_stream_is_encrypted_on_demand_and_kept(template: assertions.Template) -> None:
    """A stream of nobody else's: encrypted by AWS's key, without shards to count, kept with its records."""
    ((_, stream),) = template.find_resources("AWS::Kinesis::Stream").items()
    assert stream["DeletionPolicy"] == stream["UpdateReplacePolicy"] == "Retain"
    assert stream["Properties"]["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert stream["Properties"]["StreamEncryption"]["EncryptionType"] == "KMS"


def test_the_function_has_time_to_wait_for_better_weather(template: assertions.Template) -> None:
    """It has a minute, in which a breaker opens and the mapping is paused, and it knows its poison store."""
    function = only(template, "AWS::Lambda::Function", Timeout=60)
    variables = function["Environment"]["Variables"]
    assert variables["RESILIENT_MODE"] == "records"
    pieces = variables["RESILIENT_STREAM"]["Fn::Join"][1]
    assert "PoisonQueue" in json.dumps(pieces)
    assert "PoisonBucket" in json.dumps(pieces)
    assert '"poison_prefix":"Shop-Orders-' in "".join(piece for piece in pieces if isinstance(piece, str))
    assert "ReservedConcurrentExecutions" not in function


def test_poison_is_kept_for_14_days_and_goes_nowhere_else(template: assertions.Template) -> None:
    """The poison queue is encrypted, keeps what it has as long as SQS can, and takes no dead letters."""
    queues = template.find_resources("AWS::SQS::Queue")
    (poison,) = [each["Properties"] for name, each in queues.items() if "PoisonQueue" in name]
    assert poison["SqsManagedSseEnabled"] is True
    assert poison["MessageRetentionPeriod"] == 14 * 24 * HOUR
    assert poison["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_the_poison_bucket_is_safe(template: assertions.Template) -> None:
    """Encrypted, closed to the public, over TLS only, versioned, and kept when its stack is deleted."""
    ((_, bucket),) = template.find_resources("AWS::S3::Bucket").items()
    assert bucket["DeletionPolicy"] == "Retain"
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    (denied,) = only(template, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_function_may_read_keep_and_tell_and_nothing_else(template: assertions.Template) -> None:
    """Its role has the pollers' five actions, one on each part of the store, and the on-failure queue."""
    may = allowed(template, "OrdersFunctionRole")
    assert set(may) == {
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:PutObject",
        "sqs:SendMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
    assert "/Shop-Orders-" in may["s3:PutObject"]


def test_the_resolver_may_fetch_ranges_and_keep_them(template: assertions.Template) -> None:
    """Its role reads the stream and its own queue, and writes to the poison store."""
    may = allowed(template, "OrdersResolverRole")
    assert {action for action in may if not action.startswith(("logs:", "xray:"))} == {
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "s3:PutObject",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    }


def test_the_resolver_runs_our_own_handler_within_its_queues_time(template: assertions.Template) -> None:
    """It has a quarter of an hour, a sixth of its queue's visibility timeout, and two run at once at most."""
    function = only(template, "AWS::Lambda::Function", Timeout=900)
    variables = function["Environment"]["Variables"]
    assert variables["RESILIENT_HANDLER"] == "resilient_runtime.resolving.resolve"
    assert variables["RESILIENT_MODE"] == "messages"
    queue = only(template, "AWS::SQS::Queue", VisibilityTimeout=Match.any_value())
    assert queue["VisibilityTimeout"] == 6 * 900
    mapping = only(template, "AWS::Lambda::EventSourceMapping", ScalingConfig=Match.any_value())
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert mapping["BatchSize"] == 1


def test_a_producer_may_put_records_and_nothing_else(template: assertions.Template) -> None:
    """The grant to write has two actions on the one stream."""
    assert set(allowed(template, "Producer")) == {"kinesis:PutRecord", "kinesis:PutRecords"}


def test_whoever_replays_may_take_out_put_back_and_call(template: assertions.Template) -> None:
    """The grant to replay is what ``resilient poison`` calls, on this consumer alone."""
    may = allowed(template, "Person")
    assert set(may) == {
        "kinesis:PutRecord",
        "kinesis:PutRecords",
        "lambda:InvokeFunction",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    }
    assert '"*"' not in "".join(may.values())


def test_nothing_is_warned_of(stack: Stack) -> None:
    """The defaults are no slip."""
    assertions.Annotations.from_stack(stack).has_no_warning("/Shop/Orders", Match.any_value())
