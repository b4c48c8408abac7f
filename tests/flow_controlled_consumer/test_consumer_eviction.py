"""A consumer that archives what is too old to be worth doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from consumer_parts import make_function, only
from resilient_runtime.settings import EvictionSettings

from resilient_constructs import FlowControlledConsumer, Handler, ResilientFunction

Make = Callable[..., FlowControlledConsumer]
Match = assertions.Match


@pytest.fixture
def make(stack: Stack, handler: Handler) -> Make:
    """Makes a consumer with the handler in the stack, that evicts after an hour."""

    def make(**given: Any) -> FlowControlledConsumer:
        return FlowControlledConsumer(
            stack, "Delivery", **{"handler": handler, "evict_after": Duration.hours(1), **given}
        )

    return make


def granted(stack: Stack) -> list[tuple[Any, str]]:
    """What the roles may do, and on what, as text."""
    return [
        (statement["Action"], json.dumps(statement["Resource"]))
        for policy in assertions.Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_by_default_nothing_is_evicted(stack: Stack, make: Make) -> None:
    """No bucket, no alarm, no permission and no variable."""
    consumer = make(evict_after=None)
    template = assertions.Template.from_stack(stack)
    template.resource_count_is("AWS::S3::Bucket", 0)
    assert "Evictions" not in consumer.alarms
    assert "RESILIENT_EVICTION" not in only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert not [action for action, _ in granted(stack) if action in ("s3:PutObject", "events:PutEvents")]
    with pytest.raises(ValueError, match="Shop/Delivery: evict_after is None, so nothing is evicted"):
        consumer.metric_evicted()


def test_the_archive_is_safe(stack: Stack, make: Make) -> None:
    """Encrypted, closed to the public, over TLS only, versioned, and kept when its stack is deleted."""
    make()
    template = assertions.Template.from_stack(stack)
    ((_, bucket),) = template.find_resources("AWS::S3::Bucket").items()
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    # what nobody has looked at yet never ends by itself
    assert rule == {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}, "Status": "Enabled"}
    assert "AES256" in json.dumps(properties["BucketEncryption"])
    (denied,) = only(template, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_function_knows_what_is_too_old_and_where_it_goes(stack: Stack, make: Make) -> None:
    """Age, bucket and a prefix of the consumer's own."""
    make()
    function = only(assertions.Template.from_stack(stack), "AWS::Lambda::Function")
    before, bucket, after = function["Environment"]["Variables"]["RESILIENT_EVICTION"]["Fn::Join"][1]
    assert before == '{"after":3600,"bucket":"'
    assert "Archive" in bucket["Ref"]
    assert after.startswith('","prefix":"Shop-Delivery-')
    assert after.endswith('/"}')


def test_it_may_put_objects_under_its_own_prefix_and_tell_of_them(stack: Stack, make: Make) -> None:
    """Two actions, each on one resource, and nothing that reads or deletes."""
    make()
    found = [
        (action, on) for action, on in granted(stack) if "s3:" in str(action) or "events:" in str(action)
    ]
    ((put, keys), (tell, bus)) = found
    assert (put, tell) == ("s3:PutObject", "events:PutEvents")
    assert "/Shop-Delivery-" in keys
    assert keys.count("*") == 1
    assert ":event-bus/default" in bus


def test_a_given_bucket_is_used_as_it_is(stack: Stack, make: Make) -> None:
    """None is made; a customer key of the bucket is granted for uploads, and for nothing else."""
    key = kms.Key(stack, "Key")
    archive = s3.Bucket(stack, "Mine", encryption=s3.BucketEncryption.KMS, encryption_key=key)
    consumer = make(archive=archive)
    assert consumer.archive is archive
    assertions.Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 1)
    assert [action for action, _ in granted(stack) if "kms:" in str(action)] == ["kms:GenerateDataKey"]


def test_the_queues_customer_key_encrypts_the_archive_too(stack: Stack, make: Make) -> None:
    """What was under a customer key in the queue is so in the archive, with one data key for many objects."""
    make(encryption_key=kms.Key(stack, "Key"))
    bucket = only(assertions.Template.from_stack(stack), "AWS::S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert "kms:GenerateDataKey" in [action for action, _ in granted(stack)]


def test_evictions_are_told(stack: Stack, make: Make) -> None:
    """The first one is an alarm within a minute, and so is one that cannot be archived or told."""
    consumer = make()
    template = assertions.Template.from_stack(stack)
    for name, metric in (
        ("Evictions", "Evicted"),
        ("NotArchived", "NotArchived"),
        ("EvictionNotTold", "EvictionNotTold"),
    ):
        assert name in consumer.alarms
        alarm = only(template, "AWS::CloudWatch::Alarm", MetricName=metric)
        assert (alarm["Threshold"], alarm["Period"], alarm["EvaluationPeriods"]) == (1, 60, 1)
        assert alarm["Namespace"] == "ResilientConstructs"
    assert consumer.metric_evicted().metric_name == "Evicted"
    assert "Too old to be done" in json.dumps(template.find_resources("AWS::CloudWatch::Dashboard"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"evict_after": Duration.days(14)},
            "evict_after is 1209600; allowed: less than the 1,209,600 seconds",
        ),
        ({"evict_after": Duration.seconds(0)}, "evict_after is 0; allowed: at least 1 seconds"),
        (
            {"batch_size": 20, "batching_window": Duration.minutes(2), "evict_after": Duration.minutes(2)},
            "evict_after is 120; allowed: more than the batching_window of 120 seconds",
        ),
    ],
)
def test_an_age_at_which_nothing_or_everything_is_evicted_is_refused(
    make: Make, given: dict[str, Any], told: str
) -> None:
    """SQS deletes what is past its retention, and a batch waits for its window."""
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery'") as error:
        make(**given)
    assert told in str(error.value)
    assert "https://docs.aws.amazon.com/" in str(error.value)


@pytest.mark.parametrize(("retention", "told"), [(None, "345,600"), (Duration.hours(1), "3,600")])
def test_a_given_queues_own_retention_counts(
    stack: Stack, make: Make, retention: Duration | None, told: str
) -> None:
    """SQS keeps messages for four days where a queue does not say."""
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(stack, "Dead"), max_receive_count=5)
    queue = sqs.Queue(
        stack,
        "Mine",
        dead_letter_queue=dead,
        retention_period=retention,
        visibility_timeout=Duration.minutes(3),
    )
    with pytest.raises(ValueError, match=f"less than the {told} seconds"):
        make(queue=queue, evict_after=Duration.days(4))


def test_a_given_function_cannot_evict(stack: Stack, make: Make) -> None:
    """Only this package's runtime does; nothing is promised that would not happen."""
    with pytest.raises(ValueError, match="evict_after is 3600; allowed: None with a given function"):
        make(handler=None, function=make_function(stack))


def test_an_archive_alone_is_a_slip(stack: Stack, make: Make) -> None:
    """A bucket without an age would stay empty in silence."""
    with pytest.raises(ValueError, match="archive is 'given'; allowed: only together with evict_after"):
        make(evict_after=None, archive=s3.Bucket(stack, "Mine"))


def test_an_age_that_only_the_deployment_knows_is_refused(stack: Stack, make: Make) -> None:
    """It is written into the function's environment as a number."""
    age = CfnParameter(stack, "Age", type="Number").value_as_number
    with pytest.raises(ValueError, match="evict_after is 'a token'; allowed: a duration known at synth"):
        make(evict_after=Duration.seconds(age))


def test_an_age_below_the_visibility_timeout_is_warned_of(stack: Stack, make: Make) -> None:
    """A message whose function died would be evicted untried when it comes back."""
    make(evict_after=Duration.minutes(2))
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Delivery",
        Match.string_like_regexp("evict_after is 120 s.*visibility timeout of 180 s.*Raise evict_after"),
    )


def test_an_age_above_it_is_not(stack: Stack, make: Make) -> None:
    """An hour leaves room for many tries."""
    make()
    assertions.Annotations.from_stack(stack).has_no_warning("/Shop/Delivery", Match.any_value())


def test_a_function_of_events_has_nothing_to_evict(stack: Stack, handler: Handler) -> None:
    """Its events have no queue and no age, so that the settings of messages would be ignored in silence."""
    with pytest.raises(ValueError, match="ResilientFunction 'Worker' has 2 faults") as error:
        ResilientFunction(
            stack,
            "Worker",
            handler=handler,
            eviction=EvictionSettings(after=3600, bucket="archive"),
            urgent_queue_arn="arn:aws:sqs:eu-west-1:111122223333:urgent",
        )
    assert str(error.value).count("allowed: None in mode 'event'") == 2
