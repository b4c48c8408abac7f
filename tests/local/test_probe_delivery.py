"""Probes of event delivery, pollers and the record of calls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

Stack = Callable[..., dict[str, str]]


def _policy(queue: str, *, secure_only: bool = False) -> dict[str, Any]:
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": {"Fn::GetAtt": [queue, "Arn"]},
            "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}},
        }
    ]
    if secure_only:
        statements.append(
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": {"Fn::GetAtt": [queue, "Arn"]},
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        )
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": queue}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
        },
    }


_RULE = {
    "Type": "AWS::Events::Rule",
    "Properties": {
        "EventPattern": {"source": ["shop"]},
        "Targets": [
            {
                "Id": "Work",
                "Arn": {"Fn::GetAtt": ["Work", "Arn"]},
                "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Dead", "Arn"]}},
            }
        ],
    },
}
_QUEUES = {"Work": {"Type": "AWS::SQS::Queue"}, "Dead": {"Type": "AWS::SQS::Queue"}, "Rule": _RULE}


def _received(local_aws: LocalAws, url: str) -> list[dict[str, Any]]:
    answer = local_aws.client("sqs").receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )
    return list(answer.get("Messages", []))


def _publish(local_aws: LocalAws) -> None:
    local_aws.client("events").put_events(
        Entries=[{"Source": "shop", "DetailType": "Placed", "Detail": json.dumps({"n": 1})}]
    )


def test_allowed_delivery(local_aws: LocalAws, create_stack: Stack) -> None:
    """An event reaches a TLS-only queue whose policy allows the rule, and the call stands in the record."""
    made = create_stack({**_QUEUES, "WorkPolicy": _policy("Work", secure_only=True)})
    began = time.time()
    _publish(local_aws)
    assert len(_received(local_aws, made["Work"])) == 1
    calls = [
        call for call in local_aws.calls() if call.at >= began and call.principal == "events.amazonaws.com"
    ]
    assert [(call.action, call.allowed) for call in calls] == [("sqs:SendMessage", True)]
    assert calls[0].context["aws:SourceArn"].endswith(made["Rule"])


def test_refused_delivery_is_dead_lettered(local_aws: LocalAws, create_stack: Stack) -> None:
    """An event that the queue's policy refuses goes to the target's dead-letter queue with its reason."""
    made = create_stack({**_QUEUES, "DeadPolicy": _policy("Dead")})
    _publish(local_aws)
    assert _received(local_aws, made["Work"]) == []
    (letter,) = _received(local_aws, made["Dead"])
    assert json.loads(letter["Body"])["detail"] == {"n": 1}
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def test_deleted_queue_is_dead_lettered(local_aws: LocalAws, create_stack: Stack) -> None:
    """An event whose queue is gone goes to the target's dead-letter queue."""
    made = create_stack({**_QUEUES, "DeadPolicy": _policy("Dead")})
    local_aws.client("sqs").delete_queue(QueueUrl=made["Work"])
    _publish(local_aws)
    (letter,) = _received(local_aws, made["Dead"])
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_RESOURCE"


ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    },
}


def _function(code: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": code},
        },
    }


def _wait_for(local_aws: LocalAws, role: str, wanted: set[str]) -> set[str]:
    """What a role did, once all that is wanted is among it, or after fifteen seconds."""
    deadline = time.monotonic() + 15
    seen: set[str] = set()
    while not wanted <= seen and time.monotonic() < deadline:
        time.sleep(0.1)
        seen = {call.action for call in local_aws.calls() if call.principal.endswith(f"role/{role}")}
    return seen


def test_poller_stands_in_the_record(local_aws: LocalAws, create_stack: Stack) -> None:
    """Receiving and deleting by Lambda's poller, and the function's logs, are recorded with its role."""
    made = create_stack(
        {
            "Work": {"Type": "AWS::SQS::Queue"},
            "Role": ROLE,
            "Function": _function("def handler(event, context): pass"),
            "Mapping": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": {"Fn::GetAtt": ["Work", "Arn"]},
                    "FunctionName": {"Ref": "Function"},
                },
            },
        }
    )
    local_aws.client("sqs").send_message(QueueUrl=made["Work"], MessageBody="x")
    wanted = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "logs:PutLogEvents"}
    assert wanted <= _wait_for(local_aws, made["Role"], wanted)


def test_stream_poller_stands_in_the_record(local_aws: LocalAws, create_stack: Stack) -> None:
    """Reading a table's stream, and sending what was given up, are recorded with the function's role."""
    made = create_stack(
        {
            "Items": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "AttributeDefinitions": [{"AttributeName": "name", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
                    "BillingMode": "PAY_PER_REQUEST",
                    "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
                },
            },
            "GivenUp": {"Type": "AWS::SQS::Queue"},
            "Role": ROLE,
            "Function": _function("def handler(event, context): raise ValueError"),
            "Mapping": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": {"Fn::GetAtt": ["Items", "StreamArn"]},
                    "FunctionName": {"Ref": "Function"},
                    "StartingPosition": "TRIM_HORIZON",
                    "MaximumRecordAgeInSeconds": 1,
                    "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["GivenUp", "Arn"]}}},
                },
            },
        }
    )
    local_aws.client("dynamodb").put_item(TableName=made["Items"], Item={"name": {"S": "x"}})
    wanted = {
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "sqs:SendMessage",
    }
    assert wanted <= _wait_for(local_aws, made["Role"], wanted)


def test_a_log_is_read_whole(local_aws: LocalAws, create_stack: Stack) -> None:
    """Every line of an invocation is in the log when it ends, and every page of the log can be read."""
    lines = 12_000
    code = f"def handler(event, context):\n    for n in range({lines}): print(f'line {{n}}')\n"
    made = create_stack({"Role": ROLE, "Function": _function(code)})
    local_aws.client("lambda").invoke(FunctionName=made["Function"])
    pages = (
        local_aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=f"/aws/lambda/{made['Function']}",
            filterPattern="line",
            PaginationConfig={"PageSize": 9_000},
        )
    )
    found = [event["message"] for page in pages for event in page["events"]]
    assert found == [f"line {number}" for number in range(lines)]
