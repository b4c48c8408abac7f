"""The table of safe defaults over the consumers of a stream and of a table's stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from stream_consumers import follow, stream

from resilient_constructs import Handler, OnCall
from resilient_constructs.testing import assert_alarms_explain_themselves

HANDLER = Handler.from_directory(
    str(Path(__file__).parents[2] / "examples" / "handlers" / "delivery"), "delivery.deliver"
)
FOURTEEN_DAYS = 14 * 86_400
HOUR = 3600


@cache
def template_of(kind: str) -> dict[str, Any]:
    """The template of one of both, made once."""
    stack = Stack(App(), "Shop")
    build: Callable[..., object] = {"stream": stream, "table": follow}[kind]
    build(stack, handler=HANDLER, on_call=OnCall(stack, "OnCall"))
    return dict(Template.from_stack(stack).to_json())


def resources(kind: str, resource_type: str) -> dict[str, dict[str, Any]]:
    """The consumer's resources of one type, by logical ID; not those of the circuits, nor the app's own."""
    found = {
        name: resource
        for name, resource in template_of(kind)["Resources"].items()
        if resource["Type"] == resource_type and name.startswith("Orders")
    }
    assert found, f"{kind} has no {resource_type}"
    return found


kinds = pytest.mark.parametrize("kind", ["stream", "table"])


@kinds
def test_queues_are_encrypted_and_keep_what_they_have(kind: str) -> None:
    """Each is encrypted, keeps messages for 14 days, and says where dead letters go or come from."""
    for queue in resources(kind, "AWS::SQS::Queue").values():
        properties = queue["Properties"]
        assert properties["SqsManagedSseEnabled"] is True
        assert properties["MessageRetentionPeriod"] == FOURTEEN_DAYS
        assert ("RedrivePolicy" in properties) != ("RedriveAllowPolicy" in properties)


@kinds
def test_queues_and_buckets_take_tls_only(kind: str) -> None:
    """Each has a policy that denies everything over plain HTTP."""
    for places, policies in (
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
    ):
        shut = json.dumps(list(resources(kind, policies).values()))
        assert shut.count('{"Bool": {"aws:SecureTransport": "false"}}') == len(resources(kind, places))


@kinds
def test_a_bad_record_stops_nothing_and_an_old_one_is_kept(kind: str) -> None:
    """The mapping halves, gives up after a retry, before the stream drops it, and tells a queue."""
    (mapping,) = [
        each["Properties"]
        for each in resources(kind, "AWS::Lambda::EventSourceMapping").values()
        if "StartingPosition" in each["Properties"]
    ]
    retention = {"stream": 72, "table": 24}[kind] * HOUR
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == 1
    assert 0 < mapping["MaximumRecordAgeInSeconds"] < retention
    kept = mapping["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
    queue = template_of(kind)["Resources"][kept]
    assert queue["Properties"]["MessageRetentionPeriod"] == FOURTEEN_DAYS


@kinds
def test_every_mapping_reports_failures_and_metrics(kind: str) -> None:
    """Both mappings answer record by record, and their metrics are switched on."""
    for mapping in resources(kind, "AWS::Lambda::EventSourceMapping").values():
        assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["Properties"]["MetricsConfig"] == {"Metrics": ["EventCount"]}


@kinds
def test_functions_are_traced_log_json_and_say_their_limits(kind: str) -> None:
    """Handler and resolver run on arm64 with a timeout and memory that somebody chose."""
    functions = resources(kind, "AWS::Lambda::Function")
    assert len(functions) == 2
    for function in functions.values():
        properties = function["Properties"]
        assert properties["Architectures"] == ["arm64"]
        assert properties["TracingConfig"] == {"Mode": "Active"}
        assert properties["LoggingConfig"]["LogFormat"] == "JSON"
        assert properties["Timeout"] >= 60
        assert properties["MemorySize"] >= 256


@kinds
def test_what_was_kept_outlives_the_stack(kind: str) -> None:
    """Logs, the bucket and the stream stay when the stack is deleted, and logs end some day."""
    for group in resources(kind, "AWS::Logs::LogGroup").values():
        assert group["DeletionPolicy"] == "Retain"
        assert group["Properties"]["RetentionInDays"] > 0
    assert {each["DeletionPolicy"] for each in resources(kind, "AWS::S3::Bucket").values()} == {"Retain"}
    if kind == "stream":
        assert {each["DeletionPolicy"] for each in resources(kind, "AWS::Kinesis::Stream").values()} == {
            "Retain"
        }


@kinds
def test_no_role_may_do_anything_to_everything(kind: str) -> None:
    """Only X-Ray and a table's list of streams know no resource; nothing else is granted on all."""
    for policy in resources(kind, "AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert all("*" not in action for action in actions)
            if statement["Resource"] == "*":
                assert {action.split(":")[0] for action in actions} <= {"xray"} or actions == [
                    "dynamodb:ListStreams"
                ]


@kinds
def test_every_alarm_explains_itself(kind: str) -> None:
    """Dimensions, a reason, what silence means, and whom it tells."""
    assert_alarms_explain_themselves(template_of(kind))
