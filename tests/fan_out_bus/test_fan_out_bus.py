"""What a bus and its subscriptions make, and what they refuse to make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from resilient_constructs import FanOutBus, OnCall
from resilient_constructs.testing import count_jsii

Match = assertions.Match


class Consumer:
    """Something with a queue, as the bus sees a consumer."""

    def __init__(self, queue: sqs.IQueue) -> None:
        self.queue = queue


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


@pytest.fixture(scope="module")
def template() -> assertions.Template:
    """A bus with one subscriber and all defaults."""
    stack = Stack(App(), "Shop")
    bus = FanOutBus(stack, "Orders")
    bus.subscribe("Delivery", Consumer(sqs.Queue(stack, "Queue")), detail_type=["OrderPlaced"])
    return assertions.Template.from_stack(stack)


def only(template: assertions.Template, kind: str, **properties: Any) -> tuple[str, Mapping[str, Any]]:
    """The one resource of a kind that has these properties, with its logical ID."""
    found = template.find_resources(kind, {"Properties": properties} if properties else None)
    assert len(found) == 1, sorted(found)
    return next(iter(found.items()))


def test_events_are_archived_for_30_days(template: assertions.Template) -> None:
    """The archive is on, keeps every event of the bus, and lets go after 30 days."""
    _, archive = only(template, "AWS::Events::Archive")
    assert archive["Properties"]["RetentionDays"] == 30
    assert "Fn::GetAtt" in archive["Properties"]["SourceArn"]
    assert "EventPattern" not in archive["Properties"]


def test_a_subscription_is_a_rule_with_its_own_delivery_dead_letter_queue(
    template: assertions.Template,
) -> None:
    """The rule matches the detail type and retries for 24 hours and 185 times, then gives up."""
    _, rule = only(template, "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"] == {"detail-type": ["OrderPlaced"]}
    (target,) = rule["Properties"]["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    undelivered, _ = only(template, "AWS::SQS::Queue", RedriveAllowPolicy=Match.any_value())
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [undelivered, "Arn"]}}


def test_the_delivery_dead_letter_queue_is_safe(template: assertions.Template) -> None:
    """It is encrypted, keeps 14 days, and no queue redrives into it."""
    _, queue = only(template, "AWS::SQS::Queue", RedriveAllowPolicy=Match.any_value())
    assert queue["Properties"] == {
        "MessageRetentionPeriod": 14 * 86_400,
        "RedriveAllowPolicy": {"redrivePermission": "denyAll"},
        "SqsManagedSseEnabled": True,
    }


def allowed_to_send(template: assertions.Template) -> list[Mapping[str, Any]]:
    """What queue policies allow."""
    return [
        statement
        for policy in template.find_resources("AWS::SQS::QueuePolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]


def test_exactly_this_rule_may_send_to_exactly_its_two_queues(template: assertions.Template) -> None:
    """Both queue policies allow EventBridge SendMessage for this rule's ARN, and nothing else."""
    name = only(template, "AWS::Events::Rule")[1]["Properties"]["Name"]["Fn::Join"][1]
    statements = allowed_to_send(template)
    assert len(statements) == 2
    for statement in statements:
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        arn = statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::Join"][1]
        assert arn[-1] == name[-1]
        assert arn[-2] == "/" + name[0]
        assert arn[-3]["Ref"].startswith("OrdersBus")


def test_a_rule_delivers_only_once_it_may(template: assertions.Template) -> None:
    """The rule is made after both queue policies, so no event meets a queue that refuses it."""
    rule = only(template, "AWS::Events::Rule")[1]
    assert set(rule["DependsOn"]) == set(template.find_resources("AWS::SQS::QueuePolicy"))


def test_the_rules_name_fits(template: assertions.Template) -> None:
    """The rule's name is the path, a hash and the stack's UUID, at most 64 characters."""
    own, uuid = only(template, "AWS::Events::Rule")[1]["Properties"]["Name"]["Fn::Join"][1]
    assert len(own) + 36 <= 64
    assert uuid == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}


def test_every_signal_has_an_alarm_on_bus_and_rule(stack: Stack) -> None:
    """Undelivered, lost, failed and throttled events each have an alarm; rule metrics name bus and rule."""
    bus = FanOutBus(stack, "Orders", on_call=OnCall(stack, "OnCall", email="ops@example.com"))
    subscription = bus.subscribe("Delivery", sqs.Queue(stack, "Queue"), source=["shop"])
    assert set(subscription.alarms) == {
        "UndeliveredEvents",
        "LostEvents",
        "FailedInvocations",
        "ThrottledRule",
    }
    template = assertions.Template.from_stack(stack)
    for name in ("InvocationsFailedToBeSentToDlq", "FailedInvocations", "ThrottledRules"):
        _, alarm = only(template, "AWS::CloudWatch::Alarm", MetricName=name)
        assert [one["Name"] for one in alarm["Properties"]["Dimensions"]] == ["EventBusName", "RuleName"]
        assert alarm["Properties"]["AlarmActions"]


def test_filters_narrow_one_another(stack: Stack) -> None:
    """Source, detail type and detail pattern must all match."""
    FanOutBus(stack, "Orders").subscribe(
        "Delivery",
        sqs.Queue(stack, "Queue"),
        source=["shop"],
        detail_type=["OrderPlaced", "OrderChanged"],
        detail={"data": {"country": ["DE"]}},
    )
    _, rule = only(assertions.Template.from_stack(stack), "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"] == {
        "source": ["shop"],
        "detail-type": ["OrderPlaced", "OrderChanged"],
        "detail": {"data": {"country": ["DE"]}},
    }


def test_everything_has_to_be_said(stack: Stack) -> None:
    """Without a filter a subscription is refused, unless it asks for every event."""
    bus, queue = FanOutBus(stack, "Orders"), sqs.Queue(stack, "Queue")
    with pytest.raises(ValueError, match="empty'; allowed: a filter, or everything=True"):
        bus.subscribe("Forgotten", queue)
    with pytest.raises(ValueError, match="everything is True; allowed: False beside a filter"):
        bus.subscribe("Both", queue, everything=True, source=["shop"])
    with pytest.raises(ValueError, match="detail_type is 'OrderPlaced'; allowed: a list of strings"):
        bus.subscribe("Word", queue, detail_type="OrderPlaced")


def test_every_event_matches_everything(stack: Stack) -> None:
    """The pattern for every event is one that EventBridge takes."""
    FanOutBus(stack, "Orders").subscribe("Audit", sqs.Queue(stack, "Queue"), everything=True)
    _, rule = only(assertions.Template.from_stack(stack), "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"] == {"source": [{"prefix": ""}]}


def test_a_queue_with_the_aws_managed_key_is_refused(stack: Stack) -> None:
    """EventBridge can never use alias/aws/sqs, so the subscription is refused before anything is lost."""
    queue = sqs.Queue(stack, "Queue", encryption=sqs.QueueEncryption.KMS_MANAGED)
    with pytest.raises(ValueError, match="key alias/aws/sqs'; allowed: SQS_MANAGED, or KMS") as error:
        FanOutBus(stack, "Orders").subscribe("Delivery", queue, source=["shop"])
    assert "FanOutBus 'Orders'.subscribe('Delivery')" in str(error.value)
    assert "sqs-key-management.html" in str(error.value)


def test_a_fifo_queue_needs_a_message_group(stack: Stack) -> None:
    """A FIFO queue gets its message group; without one, or for a standard queue, it is a fault."""
    bus = FanOutBus(stack, "Orders")
    fifo = sqs.Queue(stack, "Fifo", fifo=True, content_based_deduplication=True)
    with pytest.raises(ValueError, match="message_group is None; allowed: a message group"):
        bus.subscribe("None", fifo, source=["shop"])
    with pytest.raises(ValueError, match="message_group is 'all'; allowed: none"):
        bus.subscribe("Standard", sqs.Queue(stack, "Queue"), source=["shop"], message_group="all")
    bus.subscribe("Delivery", fifo, source=["shop"], message_group="all")
    _, rule = only(assertions.Template.from_stack(stack), "AWS::Events::Rule")
    assert rule["Properties"]["Targets"][0]["SqsParameters"] == {"MessageGroupId": "all"}


def test_retries_are_kept_in_aws_range(stack: Stack) -> None:
    """Retry time and attempts out of range are told together."""
    with pytest.raises(ValueError, match="2 faults") as error:
        FanOutBus(stack, "Orders").subscribe(
            "Delivery",
            sqs.Queue(stack, "Queue"),
            source=["shop"],
            retry_for=Duration.seconds(59),
            retry_attempts=186,
        )
    assert "retry_for is 59" in str(error.value)
    assert "retry_attempts is 186" in str(error.value)


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (Duration.hours(36), "archive_for is '1.5 days'; allowed: whole days"),
        (Duration.days(0), "archive_for is 0"),
        (Duration.millis(1500), "archive_for is 1.7"),
    ],
)
def test_an_archive_is_kept_for_whole_days(stack: Stack, kept: Duration, told: str) -> None:
    """The archive counts in days and must end."""
    with pytest.raises(ValueError, match="FanOutBus 'Orders'") as error:
        FanOutBus(stack, "Orders", archive_for=kept)
    assert told in str(error.value)


def test_a_token_archive_time_is_refused(stack: Stack) -> None:
    """Days cannot be computed from a parameter, and the error says so."""
    days = CfnParameter(stack, "Days", type="Number").value_as_number
    with pytest.raises(ValueError, match="archive_for is 'a token'; allowed: a duration known at synth"):
        FanOutBus(stack, "Orders", archive_for=Duration.days(days))


def test_two_environments_of_a_stack_have_two_bus_names() -> None:
    """One stack under two stack names, as an environment's name often stands in them, fits one account."""
    names = set()
    for environment in ("dev", "prod"):
        stack = Stack(App(), "Shop", stack_name=f"shop-{environment}")
        FanOutBus(stack, "Orders")
        _, bus = only(assertions.Template.from_stack(stack), "AWS::Events::EventBus")
        names.add(bus["Properties"]["Name"])
    assert len(names) == 2, names
    assert all(re.fullmatch(r"[.\-_A-Za-z0-9]{1,256}", name) for name in names)


def test_the_archive_can_be_declined(stack: Stack) -> None:
    """Without an archive there is none, and a time for it is a fault."""
    assert FanOutBus(stack, "Orders", archive=False).archive is None
    with pytest.raises(ValueError, match="only where archive is on"):
        FanOutBus(stack, "Other", archive=False, archive_for=Duration.days(3))


def test_a_customer_key_lets_this_rule_use_it(stack: Stack) -> None:
    """The key policy allows this rule to send encrypted, to the target and to its dead-letter queue alike."""
    key = kms.Key(stack, "Key")
    bus = FanOutBus(stack, "Orders", encryption_key=key)
    queue = sqs.Queue(stack, "Queue", encryption_master_key=kms.Key(stack, "Other"))
    bus.subscribe("Delivery", queue, source=["shop"])
    template = assertions.Template.from_stack(stack)
    name = only(template, "AWS::Events::EventBus")[1]["Properties"]["Name"]
    keys = template.find_resources("AWS::KMS::Key")
    assert len(keys) == 2
    for policy in keys.values():
        (statement,) = [
            one
            for one in policy["Properties"]["KeyPolicy"]["Statement"]
            if "ArnLike" in one.get("Condition", {})
        ]
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert f"rule/{name}/Shop-Orders-" in str(statement["Condition"]["ArnLike"]["aws:SourceArn"])


def archiving(template: assertions.Template) -> list[Mapping[str, Any]]:
    """The statements of the one key's policy that EventBridge needs for an archive and for nothing else."""
    _, key = only(template, "AWS::KMS::Key")
    wanted = ("kms:DescribeKey", ["kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncrypt*"])
    return [one for one in key["Properties"]["KeyPolicy"]["Statement"] if one["Action"] in wanted]


def test_a_customer_key_lets_eventbridge_archive(stack: Stack) -> None:
    """The key policy allows what AWS's page on encrypted archives asks for, for events of this bus only."""
    FanOutBus(stack, "Orders", encryption_key=kms.Key(stack, "Key"))
    template = assertions.Template.from_stack(stack)
    use, describe = archiving(template)
    assert use["Principal"] == describe["Principal"] == {"Service": "events.amazonaws.com"}
    (context,) = use["Condition"].values()
    name = only(template, "AWS::Events::EventBus")[1]["Properties"]["Name"]
    assert f":event-bus/{name}'" in str(context)
    assert list(context) == ["kms:EncryptionContext:aws:events:event-bus:arn"]


def test_the_archive_of_a_given_bus_makes_no_circle(stack: Stack) -> None:
    """A key may encrypt a given bus and our archive of it: its policy refers to no bus."""
    key = kms.Key(stack, "Key")
    given = events.EventBus(stack, "Given", kms_key=key)
    FanOutBus(stack, "Orders", event_bus=given, encryption_key=key)
    # a template with a circle could not be read: the assertions look for circles first
    use, _ = archiving(assertions.Template.from_stack(stack))
    assert str(use["Condition"]).endswith(":event-bus/*']]}}}")


def test_without_an_archive_the_key_is_not_opened_for_one(stack: Stack) -> None:
    """No archive, no statement for it."""
    FanOutBus(stack, "Orders", archive=False, encryption_key=kms.Key(stack, "Key"))
    assert archiving(assertions.Template.from_stack(stack)) == []


def test_a_key_of_another_stack_is_not_told_this_stacks_names() -> None:
    """The policy of a key in another stack allows the account's rules, because it cannot name this one."""
    app = App()
    security, shop = Stack(app, "Security"), Stack(app, "Shop")
    queue = sqs.Queue(shop, "Queue", encryption_master_key=kms.Key(security, "Key"))
    FanOutBus(shop, "Orders").subscribe("Delivery", queue, source=["shop"])
    _, key = only(assertions.Template.from_stack(security), "AWS::KMS::Key")
    statement = key["Properties"]["KeyPolicy"]["Statement"][-1]
    assert str(statement["Condition"]).endswith(":rule/*']]}}}")
    assert "StackId" not in str(statement)


def test_a_consumer_in_another_stack_keeps_its_rule(stack: Stack) -> None:
    """The rule of a consumer in another stack stands there, so that only one stack depends on the other."""
    app = App()
    shop, back = Stack(app, "Shop"), Stack(app, "Back")
    bus = FanOutBus(shop, "Orders")
    bus.subscribe("Returns", sqs.Queue(back, "Queue"), source=["shop"])
    template = assertions.Template.from_stack(back)
    template.resource_count_is("AWS::Events::Rule", 1)
    assertions.Template.from_stack(shop).resource_count_is("AWS::Events::Rule", 0)
    assert [one.stack_name for one in back.dependencies] == ["Shop"]
    assert shop.dependencies == []


def test_an_imported_queue_is_warned_of(stack: Stack) -> None:
    """The policy of an imported queue cannot be changed; the warning says what it must allow."""
    queue = sqs.Queue.from_queue_arn(stack, "Theirs", "arn:aws:sqs:eu-central-1:111122223333:theirs")
    FanOutBus(stack, "Orders").subscribe("Delivery", queue, source=["shop"])
    assertions.Annotations.from_stack(stack).has_warning(
        "/Shop/Orders/Delivery", Match.string_like_regexp("0 of 1 statements.*sqs:SendMessage")
    )


def test_rules_of_the_default_bus_go_by_one_name(stack: Stack) -> None:
    """On the account's default bus, rule ARNs and metrics leave the bus's name out."""
    default = events.EventBus.from_event_bus_name(stack, "Default", "default")
    bus = FanOutBus(stack, "Orders", event_bus=default, archive=False)
    bus.subscribe("Delivery", sqs.Queue(stack, "Queue"), source=["shop"])
    template = assertions.Template.from_stack(stack)
    template.resource_count_is("AWS::Events::EventBus", 0)
    _, alarm = only(template, "AWS::CloudWatch::Alarm", MetricName="ThrottledRules")
    assert [one["Name"] for one in alarm["Properties"]["Dimensions"]] == ["RuleName"]
    assert all(":rule/Shop-Orders-" in str(one["Condition"]) for one in allowed_to_send(template))


def test_an_event_store_names_bus_source_and_type(stack: Stack) -> None:
    """An API route can store on the bus under a source and a detail type."""
    bus = FanOutBus(stack, "Orders")
    store = bus.events(source="shop", detail_type="OrderPlaced")
    assert (store.bus, store.source, store.detail_type) == (bus.event_bus, "shop", "OrderPlaced")


def test_putting_events_can_be_granted(stack: Stack) -> None:
    """Whoever is granted may put events on this bus and nothing else."""
    bus = FanOutBus(stack, "Orders")
    bus.grant_put_events(iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")))
    _, policy = only(assertions.Template.from_stack(stack), "AWS::IAM::Policy")
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "events:PutEvents"
    assert statement["Resource"]["Fn::GetAtt"][0].startswith("OrdersBus")


def test_its_metrics_are_those_of_its_rule(stack: Stack) -> None:
    """Each metric method answers with the CDK's metric of this subscription's own resource."""
    subscription = FanOutBus(stack, "Orders").subscribe(
        "Delivery", sqs.Queue(stack, "Queue"), source=["shop"]
    )
    assert subscription.metric_delivered().metric_name == "Invocations"
    assert subscription.metric_failed().metric_name == "FailedInvocations"
    assert subscription.metric_undelivered().namespace == "AWS/SQS"


def test_a_copy_costs_at_most_25_round_trips(stack: Stack) -> None:
    """One further bus with one subscription, alarms and dashboard included, costs at most 25 requests."""
    on_call = OnCall(stack, "OnCall", email="ops@example.com")
    queue = sqs.Queue(stack, "Queue")

    def make(name: str) -> None:
        FanOutBus(stack, name, on_call=on_call).subscribe("Delivery", queue, source=["shop"])

    make("First")
    with count_jsii() as requests:
        make("Second")
    assert requests.count <= 25, requests.by_target
