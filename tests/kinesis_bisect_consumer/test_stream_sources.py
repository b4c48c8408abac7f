"""Streams that are given: Kinesis streams, imported ones, tables; and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from stream_parts import allowed, make_function, make_table, mapping_of, only

from resilient_constructs import Handler, KinesisBisectConsumer, OnPoison

Match = assertions.Match
Make = Callable[..., KinesisBisectConsumer]
IMPORTED = "arn:aws:kinesis:eu-central-1:111122223333:stream/orders"


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


def test_a_given_stream_is_used_as_it_is(stack: Stack, make: Make) -> None:
    """None is made; its own retention and shards count, and its reader is told nothing new."""
    stream = kinesis.Stream(stack, "Mine", shard_count=2, retention_period=Duration.hours(48))
    consumer = make(stream=stream)
    assert consumer.stream is stream
    assert consumer.max_concurrency == 2
    template = assertions.Template.from_stack(stack)
    template.resource_count_is("AWS::Kinesis::Stream", 1)
    assert mapping_of(template)["MaximumRecordAgeInSeconds"] == 42 * 3600
    assertions.Annotations.from_stack(stack).has_no_warning("/Shop/Orders", Match.any_value())


def test_a_retention_that_is_not_the_streams_is_refused(stack: Stack, make: Make) -> None:
    """What the construct is told must be what the stream does."""
    stream = kinesis.Stream(stack, "Mine", shard_count=2)
    with pytest.raises(ValueError, match=r"retention is '72 hours'; allowed: None, or the 24 hours"):
        make(stream=stream, retention=Duration.hours(72))


def test_an_imported_stream_is_asked_for_its_retention(stack: Stack, make: Make) -> None:
    """The shortest is taken and told; said, it counts and nothing is warned of."""
    stream = kinesis.Stream.from_stream_arn(stack, "Theirs", IMPORTED)
    make(stream=stream)
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Orders", Match.string_like_regexp("does not tell its retention; 24 hours are taken")
    )
    other = Stack(App(), "Other")
    stream = kinesis.Stream.from_stream_arn(other, "Theirs", IMPORTED)
    function = make_function(other)
    KinesisBisectConsumer(other, "Said", function=function, stream=stream, retention=Duration.days(7))
    assert mapping_of(assertions.Template.from_stack(other))["MaximumRecordAgeInSeconds"] == 147 * 3600
    assertions.Annotations.from_stack(other).has_no_warning("/Other/Said", Match.any_value())


def test_a_stream_and_a_table_are_one_too_many(stack: Stack, make: Make) -> None:
    """A consumer reads one of the two."""
    with pytest.raises(ValueError, match="stream, table is 'both'"):
        make(
            stream=kinesis.Stream(stack, "Mine"),
            table=make_table(stack, dynamodb.StreamViewType.NEW_IMAGE),
        )


def test_a_tables_stream_is_read_as_well(stack: Stack, make: Make) -> None:
    """No Kinesis stream is made, its 24 hours count, and the roles read the table's stream alone."""
    table = make_table(stack, dynamodb.StreamViewType.NEW_AND_OLD_IMAGES)
    consumer = make(table=table)
    assert (consumer.table, consumer.stream) == (table, None)
    template = assertions.Template.from_stack(stack)
    template.resource_count_is("AWS::Kinesis::Stream", 0)
    mapping = mapping_of(template)
    assert "StreamArn" in str(mapping["EventSourceArn"])
    assert mapping["MaximumRecordAgeInSeconds"] == 21 * 3600
    polls = {action for action in allowed(template, "OrdersFunctionRole") if action.startswith("dynamodb:")}
    assert polls == {
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
    }
    fetches = {action for action in allowed(template, "ResolverRole") if action.startswith("dynamodb:")}
    assert fetches == {"dynamodb:GetRecords", "dynamodb:GetShardIterator"}
    assert not {"ReadThrottled", "WriteThrottled", "HotShard"} & set(consumer.alarms)
    with pytest.raises(ValueError, match="a table's stream takes no records"):
        consumer.grant_write(iam.Role(stack, "Someone", assumed_by=iam.AccountRootPrincipal()))


def test_a_tables_customer_key_is_for_both_who_read(stack: Stack, make: Make) -> None:
    """A table's stream is under the table's key: poller and resolver decrypt with it, and with no other."""
    key = kms.Key(stack, "Key")
    make(table=make_table(stack, dynamodb.StreamViewType.NEW_IMAGE, encryption_key=key))
    template = assertions.Template.from_stack(stack)
    for role in ("OrdersFunctionRole", "OrdersResolverRole"):
        assert "Key" in allowed(template, role)["kms:Decrypt"]


def test_enhanced_fan_out_reads_with_a_throughput_of_its_own(stack: Stack, make: Make) -> None:
    """A consumer is registered, the mapping reads from it, and the role may subscribe to it."""
    consumer = make(enhanced_fan_out=True)
    assert consumer.stream_consumer is not None
    template = assertions.Template.from_stack(stack)
    registered = only(template, "AWS::Kinesis::StreamConsumer")
    assert registered["ConsumerName"].startswith("Shop-Orders-")
    assert "FanOut" in str(mapping_of(template)["EventSourceArn"])
    may = allowed(template, "OrdersFunctionRole")
    assert "FanOut" in may["kinesis:SubscribeToShard"]
    assert "FanOut" in may["kinesis:DescribeStreamConsumer"]


def test_a_customer_key_encrypts_everything_and_each_may_use_it(stack: Stack, make: Make) -> None:
    """Stream, queues and bucket are under it; readers decrypt, writers make data keys."""
    consumer = make(encryption_key=kms.Key(stack, "Key"))
    consumer.grant_write(iam.Role(stack, "Producer", assumed_by=iam.AccountRootPrincipal()))
    template = assertions.Template.from_stack(stack)
    assert "Key" in str(only(template, "AWS::Kinesis::Stream")["StreamEncryption"]["KeyId"])
    template.resource_properties_count_is("AWS::SQS::Queue", {"KmsMasterKeyId": Match.any_value()}, 3)
    assert "aws:kms" in str(only(template, "AWS::S3::Bucket")["BucketEncryption"])
    for role in ("OrdersFunctionRole", "OrdersResolverRole"):
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(allowed(template, role))
    assert "kms:GenerateDataKey" in allowed(template, "Producer")


def test_parking_makes_a_table_of_the_keys_that_wait(stack: Stack, make: Make) -> None:
    """It is encrypted and restorable, forgets nothing by itself, and the function may read and add to it."""
    consumer = make(on_poison=OnPoison.PARK)
    assert consumer.parked_keys is not None
    template = assertions.Template.from_stack(stack)
    table = only(template, "AWS::DynamoDB::Table")
    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "TimeToLiveSpecification" not in table
    parks = {action for action in allowed(template, "OrdersFunctionRole") if action.startswith("dynamodb:")}
    assert parks == {"dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem"}
    assert not [action for action in allowed(template, "ResolverRole") if action.startswith("dynamodb:")]
    function = only(template, "AWS::Lambda::Function", Timeout=60)
    assert "parked_table" in str(function["Environment"]["Variables"]["RESILIENT_STREAM"])


def test_whoever_replays_may_look_at_parked_keys_move_them_on_and_free_them(stack: Stack, make: Make) -> None:
    """The grant to replay has what ``resilient poison`` calls on the table, and no more."""
    person = iam.Role(stack, "Person", assumed_by=iam.AccountRootPrincipal())
    make(on_poison="park").grant_replay(person)
    may = allowed(assertions.Template.from_stack(stack), "Person")
    on_table = {action for action in may if action.startswith("dynamodb:")}
    assert on_table == {"dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:UpdateItem"}


def test_the_store_can_be_handed_in(stack: Stack, make: Make) -> None:
    """Queue, bucket and table of yours are used, none is made, and objects have the consumer's prefix."""
    queue, bucket = sqs.Queue(stack, "Poison"), s3.Bucket(stack, "Large")
    key = dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING)
    keys = dynamodb.Table(stack, "Waiting", partition_key=key)
    consumer = make(poison_queue=queue, poison_bucket=bucket, parked_keys=keys, on_poison="park")
    assert (consumer.poison_queue, consumer.poison_bucket, consumer.parked_keys) == (queue, bucket, keys)
    template = assertions.Template.from_stack(stack)
    template.resource_count_is("AWS::S3::Bucket", 1)
    template.resource_count_is("AWS::DynamoDB::Table", 1)
    assert "/Shop-Orders-" in allowed(template, "OrdersFunctionRole")["s3:PutObject"]


@pytest.mark.parametrize("how", ["given to both", "imported twice", "made by the other"])
def test_a_poison_queue_belongs_to_one_consumer(stack: Stack, make: Make, handler: Handler, how: str) -> None:
    """A queue that two would share is refused: both are named, with the property and why."""
    arn = "arn:aws:sqs:eu-central-1:111122223333:poison"
    one: sqs.IQueue | None = None
    two: sqs.IQueue | None = None
    if how == "given to both":
        one = two = sqs.Queue(stack, "Poison")
    elif how == "imported twice":
        one, two = (sqs.Queue.from_queue_arn(stack, name, arn) for name in ("One", "Two"))
    first = make(poison_queue=one)
    with pytest.raises(ValueError, match="KinesisBisectConsumer 'Second': poison_queue is") as error:
        KinesisBisectConsumer(stack, "Second", handler=handler, poison_queue=two or first.poison_queue)
    assert "Orders as well'; allowed: a queue for each consumer" in str(error.value)
    assert "replaying it to one's handler deletes it for the other" in str(error.value)


def test_a_table_of_parked_keys_belongs_to_one_consumer(stack: Stack, make: Make, handler: Handler) -> None:
    """A table that two would share is refused, whether it was given to the other or made by it."""
    key = dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING)
    keys = dynamodb.Table(stack, "Waiting", partition_key=key)
    make(parked_keys=keys, on_poison="park")
    made = KinesisBisectConsumer(stack, "Parking", handler=handler, on_poison="park").parked_keys
    for shared, other in ((keys, "Shop/Orders"), (made, "Parking")):
        with pytest.raises(
            ValueError, match=f"parked_keys is 'that of {other} as well'; allowed: a table for"
        ):
            KinesisBisectConsumer(
                stack, f"After{other[-7:-1]}", handler=handler, on_poison="park", parked_keys=shared
            )


def test_two_apps_may_each_import_the_same_queue(handler: Handler) -> None:
    """What another app of the same process keeps where is not this one's: only the page can tell of it."""
    for app in (App(), App()):
        stack = Stack(app, "Shop")
        queue = sqs.Queue.from_queue_arn(stack, "Q", "arn:aws:sqs:eu-central-1:111122223333:poison")
        consumer = KinesisBisectConsumer(stack, "Orders", handler=handler, poison_queue=queue)
        assert consumer.poison_queue is queue


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda stack: {"poison_queue": sqs.Queue(stack, "Q", fifo=True)}, "poison_queue is 'a FIFO queue'"),
        (
            lambda stack: {"parked_keys": make_table(stack, None)},
            "parked_keys is 'given'; allowed: only with on_poison='park'",
        ),
    ],
    ids=["fifo", "table without parking"],
)
def test_a_store_that_does_not_fit_is_refused(
    stack: Stack, make: Make, given: Callable[[Stack], dict[str, Any]], told: str
) -> None:
    """What could not keep poison, or would stay empty in silence, is told."""
    with pytest.raises(ValueError, match="KinesisBisectConsumer 'Orders'") as error:
        make(**given(stack))
    assert told in str(error.value)


def test_a_given_function_has_the_infrastructure_alone(stack: Stack, make: Make) -> None:
    """It is halved, tried twice and resolved; what only our runtime tells is no alarm."""
    consumer = make(function=make_function(stack))
    assert consumer.resilient_function is None
    assert not {"PoisonRate", "NotKept", "Unfinished"} & set(consumer.alarms)
    assert {"PoisonWaiting", "RecordAge", "NotRead", "StuckShard", "NotResolved"} <= set(consumer.alarms)
    template = assertions.Template.from_stack(stack)
    mapping = next(
        resource
        for resource in template.find_resources("AWS::Lambda::EventSourceMapping").values()
        if "StartingPosition" in resource["Properties"]
    )
    # Lambda checks when the mapping is made whether the function may read
    assert any("GivenServiceRoleDefaultPolicy" in name for name in mapping["DependsOn"])
    may = allowed(template, "GivenServiceRole")
    assert "s3:PutObject" not in may
    assert "DiscardedQueue" in may["sqs:SendMessage"]


def test_an_imported_function_needs_its_role_named(stack: Stack, make: Make) -> None:
    """What cannot be granted is told."""
    arn = "arn:aws:lambda:eu-central-1:111122223333:function:orders"
    make(function=lambda_.Function.from_function_arn(stack, "Imported", arn))
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Orders", Match.string_like_regexp("imported without its role.*kinesis:GetRecords")
    )
