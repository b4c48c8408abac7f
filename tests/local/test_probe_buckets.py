"""What the local AWS does of a bucket: its events through EventBridge, its versions, who may see it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

RESOURCES: dict[str, Any] = {
    "Bucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            "VersioningConfiguration": {"Status": "Enabled"},
            "PublicAccessBlockConfiguration": {"BlockPublicPolicy": True, "RestrictPublicBuckets": True},
        },
    },
    "Queue": {"Type": "AWS::SQS::Queue"},
    "Rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventPattern": {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [{"Ref": "Bucket"}]},
                    "object": {"key": [{"prefix": "incoming/"}]},
                },
            },
            "Targets": [{"Id": "Queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
        },
    },
    "Policy": {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "Queue"}],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                    }
                ],
            },
        },
    },
}


@pytest.fixture
def made(create_stack: Callable[..., dict[str, str]]) -> dict[str, str]:
    """Physical IDs by logical ID."""
    return create_stack(RESOURCES)


def test_a_stored_object_is_told_to_eventbridge(local_aws: LocalAws, made: dict[str, str]) -> None:
    """Below the prefix of the rule, with key, size and ETag; elsewhere not."""
    stored = {
        key: local_aws.client("s3").put_object(Bucket=made["Bucket"], Key=key, Body=b"four")
        for key in ("elsewhere/a.pdf", "incoming/a b.pdf")
    }
    messages: list[Any] = []
    until = time.monotonic() + 20
    while not messages and time.monotonic() < until:
        answer = local_aws.client("sqs").receive_message(QueueUrl=made["Queue"], WaitTimeSeconds=2)
        messages = answer.get("Messages", [])
    (message,) = messages
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    told = event["detail"]["object"]
    assert (told["key"], told["size"]) == ("incoming/a b.pdf", 4)
    assert told["etag"] == stored["incoming/a b.pdf"]["ETag"].strip('"')


def test_an_overwritten_object_is_read_on_condition_only(local_aws: LocalAws, made: dict[str, str]) -> None:
    """``IfMatch`` refuses another content, and the older version is still there."""
    s3 = local_aws.client("s3")
    first = s3.put_object(Bucket=made["Bucket"], Key="v", Body=b"1")
    s3.put_object(Bucket=made["Bucket"], Key="v", Body=b"2")
    with pytest.raises(s3.exceptions.ClientError, match=r"PreconditionFailed|412"):
        s3.get_object(Bucket=made["Bucket"], Key="v", IfMatch=first["ETag"])
    older = s3.get_object(Bucket=made["Bucket"], Key="v", VersionId=first["VersionId"])
    assert older["Body"].read() == b"1"


def test_public_access_stays_blocked(local_aws: LocalAws, made: dict[str, str]) -> None:
    """What the template blocks is blocked."""
    block = local_aws.client("s3").get_public_access_block(Bucket=made["Bucket"])
    assert block["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"] is True
