"""Whom alarms tell."""

from __future__ import annotations

import pytest
from aws_cdk import App, CfnParameter, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from resilient_constructs.monitoring import OnCall, Severity


def test_one_address_is_told_of_everything() -> None:
    """The smallest use: one topic, one email subscription, both severities."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall", email="ops@example.com")

    assert on_call.topic(Severity.PAGE) is on_call.topic(Severity.TICKET)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::SNS::Topic", 1)
    template.has_resource_properties(
        "AWS::SNS::Subscription", {"Protocol": "email", "Endpoint": "ops@example.com"}
    )


def test_tickets_leave_the_pager_alone_once_they_have_an_address() -> None:
    """Anything given for tickets makes a topic of their own."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(
        stack,
        "OnCall",
        https=["https://pager.example.com/a", "https://b.example"],
        ticket_email="team@example.com",
    )

    assert on_call.topic_arn(Severity.PAGE) != on_call.topic_arn(Severity.TICKET)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::SNS::Topic", 2)
    template.resource_count_is("AWS::SNS::Subscription", 3)


def test_only_alarms_of_this_account_may_publish_and_only_over_tls() -> None:
    """The topic's policy has one allow, for CloudWatch with this account's alarms, and refuses plain HTTP."""
    stack = Stack(App(), "Shop")
    OnCall(stack, "OnCall")

    (policy,) = Template.from_stack(stack).find_resources("AWS::SNS::TopicPolicy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    (allow,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    (deny,) = [statement for statement in statements if statement["Effect"] == "Deny"]
    assert allow["Action"] == "sns:Publish"
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_customer_key_is_granted_to_cloudwatch() -> None:
    """With a key, CloudWatch may use it for alarms of this account; without the grant alarms are lost."""
    stack = Stack(App(), "Shop")
    OnCall(stack, "OnCall", encryption_key=kms.Key(stack, "Key"))

    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::SNS::Topic", {"KmsMasterKeyId": Match.any_value()})
    template.has_resource_properties(
        "AWS::KMS::Key",
        {
            "KeyPolicy": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                                "Condition": {
                                    "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
                                },
                            }
                        )
                    ]
                )
            }
        },
    )


def test_without_a_key_no_aws_managed_key_is_used() -> None:
    """CloudWatch cannot publish to a topic under alias/aws/sns, so none is ever set."""
    stack = Stack(App(), "Shop")
    OnCall(stack, "OnCall")

    Template.from_stack(stack).has_resource_properties("AWS::SNS::Topic", {"KmsMasterKeyId": Match.absent()})


def test_given_topics_are_used_as_they_are() -> None:
    """A topic of yours gets the subscriptions, its policy stays yours."""
    stack = Stack(App(), "Shop")
    pages, tickets = sns.Topic(stack, "Pages"), sns.Topic(stack, "Tickets")
    on_call = OnCall(stack, "OnCall", page_topic=pages, ticket_topic=tickets, email="ops@example.com")

    assert on_call.page_topic is pages
    assert on_call.topic(Severity.TICKET) is tickets
    Template.from_stack(stack).resource_count_is("AWS::SNS::TopicPolicy", 0)
    Template.from_stack(stack).resource_count_is("AWS::SNS::Topic", 2)


def test_every_wrong_address_is_named_in_one_error() -> None:
    """Malformed addresses and endpoints without TLS are refused together, each with its value and page."""
    with pytest.raises(ValueError, match="OnCall 'OnCall' has 4 faults") as caught:
        OnCall(
            Stack(App(), "Shop"),
            "OnCall",
            email=["ops@example.com", "nobody"],
            https="http://pager.example.com",
            ticket_email="two@at@example.com",
            ticket_https="https://",
        )

    message = str(caught.value)
    for fault in (
        "email is 'nobody'",
        "https is 'http://pager.example.com'",
        "ticket_email is 'two@at@example.com'",
        "ticket_https is 'https://'",
    ):
        assert fault in message
    assert message.count("https://docs.aws.amazon.com/sns/") == 4


def test_an_address_from_a_parameter_passes() -> None:
    """What only CloudFormation knows is not judged."""
    stack = Stack(App(), "Shop")
    address = CfnParameter(stack, "Address").value_as_string
    OnCall(stack, "OnCall", email=address)

    Template.from_stack(stack).has_resource_properties(
        "AWS::SNS::Subscription", {"Endpoint": {"Ref": "Address"}}
    )
