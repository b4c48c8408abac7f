"""What the documents example asks AWS for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Duration
from aws_cdk.assertions import Match, Template

from examples.documents import DocumentsStack
from resilient_constructs.testing import assert_alarms_explain_themselves


@pytest.fixture(scope="module")
def template() -> Template:
    """The example with its documented defaults."""
    return Template.from_stack(DocumentsStack(App(), "Documents"))


def test_the_bucket_tells_eventbridge_without_a_function(template: Template) -> None:
    """A property of the bucket does it; no custom resource may reconfigure buckets."""
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {"NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}},
    )
    kinds = {resource["Type"] for resource in template.to_json()["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith(("Custom::", "AWS::CloudFormation::Custom"))}


def test_each_kind_of_object_has_one_reader(template: Template) -> None:
    """PDFs go to the split, pages to the analysis, ends to the collection; manifests set nothing off."""
    read: dict[str, str] = {}
    for name, rule in template.find_resources("AWS::Events::Rule").items():
        pattern = rule["Properties"].get("EventPattern", {})
        if pattern.get("source") == ["aws.s3"]:
            assert pattern["detail"]["bucket"]["name"][0]["Ref"].startswith("Documents")
            for key in pattern["detail"]["object"]["key"]:
                assert key["prefix"] not in read
                read[key["prefix"]] = name.removeprefix("Events")[:5]
    assert read == {"incoming/": "Split", "pages/": "Analy", "results/": "Colle", "given-up/": "Colle"}


def test_executions_without_a_result_are_collected(template: Template) -> None:
    """Of the one state machine, whichever way they ended; one that parked its page has ended well."""
    template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": {
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": [{"Ref": Match.string_like_regexp("^AnalyseStateMachine")}],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            }
        },
    )


@pytest.mark.parametrize(("rate", "seconds", "readers"), [(10, 2, 30), (4, 5, 30), (1, 1, 2)])
def test_no_more_pages_are_read_at_once_than_the_service_bears(
    rate: float, seconds: int, readers: int
) -> None:
    """Rate × latency, and half as many more: what Little's law allows is reserved and not exceeded."""
    made = Template.from_stack(
        DocumentsStack(
            App(), "Documents", ocr_requests_per_second=rate, ocr_latency=Duration.seconds(seconds)
        )
    )
    made.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "ReservedConcurrentExecutions": readers,
            "Environment": {"Variables": Match.object_like({"RESILIENT_HANDLER": "analyse.analyse"})},
        },
    )


def _granted(template: Template, role: str) -> set[tuple[str, str]]:
    """Action and prefix of every grant on the documents' bucket."""
    granted = set()
    for name, policy in template.find_resources("AWS::IAM::Policy").items():
        if not name.startswith(role):
            continue
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            text = json.dumps(statement["Resource"])
            actions: Any = statement["Action"]
            for action in actions if isinstance(actions, list) else [actions]:
                if action in ("s3:GetObject", "s3:PutObject") and '"Documents' in text:
                    listed = statement["Resource"]
                    for one in listed if isinstance(listed, list) else [listed]:
                        granted.add((action, one["Fn::Join"][1][1]))
    return granted


def test_functions_reach_their_own_objects_only(template: Template) -> None:
    """Nobody but the split reads what arrived, and nobody at all may write or delete it."""
    assert _granted(template, "SplitFunctionRole") == {
        ("s3:GetObject", "/incoming/*"),
        ("s3:PutObject", "/pages/*"),
        ("s3:PutObject", "/given-up/*"),
        ("s3:PutObject", "/manifests/*"),
    }
    assert _granted(template, "ReaderRole") == {
        ("s3:GetObject", "/pages/*"),
        ("s3:PutObject", "/results/*"),
        ("s3:PutObject", "/given-up/*"),
    }
    assert _granted(template, "CollectFunctionRole") == {
        ("s3:GetObject", "/given-up/*"),
        ("s3:PutObject", "/manifests/*"),
    }


def test_a_page_that_can_be_tried_again_outlives_its_dead_letter(template: Template) -> None:
    """Pages expire after 30 days, dead letters after 14."""
    (bucket,) = [
        one["Properties"]
        for name, one in template.find_resources("AWS::S3::Bucket").items()
        if name.startswith("Documents")
    ]
    days = {
        rule.get("Prefix"): rule.get("ExpirationInDays") for rule in bucket["LifecycleConfiguration"]["Rules"]
    }
    assert days["pages/"] == 30
    queues = template.find_resources("AWS::SQS::Queue").values()
    assert {queue["Properties"]["MessageRetentionPeriod"] for queue in queues} == {14 * 86_400}


def test_every_alarm_explains_itself(template: Template) -> None:
    """Every alarm has dimensions, a reason, a treatment of missing data and someone to tell."""
    assert_alarms_explain_themselves(template.to_json())
