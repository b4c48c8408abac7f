"""What a storage-first API promises, held against the synthesized template."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from template_reading import ORDER, Resources, of_type, only, synthesized

from resilient_constructs import (
    EventStore,
    OnCall,
    QueueStore,
    Route,
    StorageFirstApi,
    Throttle,
)


@pytest.fixture(scope="module")
def resources() -> Resources:
    """One API with a route to a bus, one to a queue with a customer key and one to a FIFO queue."""
    stack = Stack(App(), "Shop")
    key = kms.Key(stack, "Key")
    bus = events.EventBus(stack, "Bus")
    queue = sqs.Queue(stack, "Queue", encryption=sqs.QueueEncryption.KMS, encryption_master_key=key)
    fifo = sqs.Queue(stack, "Fifo", fifo=True)
    StorageFirstApi(
        stack,
        "Api",
        on_call=OnCall(stack, "OnCall", email="ops@example.com"),
        throttle=Throttle(requests_per_second=50, burst=100),
        routes=[
            Route.post(
                "/orders", schema=ORDER, store=EventStore(bus=bus, source="shop", detail_type="Placed")
            ),
            Route.put("/orders/bulk", schema=ORDER, store=queue),
            Route.patch(
                "/",
                schema=ORDER,
                store=QueueStore(queue=fifo, message_group="customer", deduplicate_by="order"),
                throttle=Throttle(requests_per_second=1, burst=2),
            ),
            Route.post(
                "/a/b",
                schema=ORDER,
                store=queue,
                throttle=Throttle(requests_per_second=3, burst=4),
            ),
        ],
    )
    return synthesized(stack)


@pytest.fixture(scope="module")
def methods(resources: Resources) -> list[dict[str, Any]]:
    """The properties of the API's methods."""
    return list(of_type(resources, "ApiGateway::Method").values())


def test_every_route_is_a_method(methods: list[dict[str, Any]]) -> None:
    """Each route is one method with its HTTP verb."""
    assert sorted(m["HttpMethod"] for m in methods) == ["PATCH", "POST", "POST", "PUT"]


def test_paths_share_their_resources(resources: Resources) -> None:
    """A path is a chain of resources below the root, and a shared prefix is made once."""
    parts = sorted(r["PathPart"] for r in of_type(resources, "ApiGateway::Resource").values())
    assert parts == ["a", "b", "bulk", "orders"]


def test_a_queue_is_asked_for_json(methods: list[dict[str, Any]]) -> None:
    """SQS answers a form as Accept says, and the templates that look for the message ID read only JSON."""
    asked = [m["Integration"]["RequestParameters"] for m in methods if m["HttpMethod"] == "PUT"]
    assert [one["integration.request.header.Accept"] for one in asked] == ["'application/json'"]


def test_only_2xx_of_the_storage_is_success(methods: list[dict[str, Any]]) -> None:
    """The success has the pattern 2\\d\\d and the error has none, so whatever is no 2xx is an error."""
    for method in methods:
        accepted, refused = method["Integration"]["IntegrationResponses"]
        assert (accepted["StatusCode"], accepted["SelectionPattern"]) == ("202", r"2\d\d")
        assert refused["StatusCode"] == "503"
        assert "SelectionPattern" not in refused
        assert refused["ResponseParameters"] == {
            "method.response.header.Content-Type": "'application/problem+json'"
        }
        assert [r["StatusCode"] for r in method["MethodResponses"]] == ["202", "503"]


def test_no_content_type_evades_schema_and_template(methods: list[dict[str, Any]]) -> None:
    """Other content types are refused, and whatever the content type, the body is held against the model."""
    for method in methods:
        assert method["Integration"]["PassthroughBehavior"] == "NEVER"
        assert list(method["Integration"]["RequestTemplates"]) == ["application/json"]
        models = method["RequestModels"]
        assert set(models) == {"application/json", "$default"}
        assert models["application/json"] == models["$default"]
        assert "RequestValidatorId" in method


def test_body_is_validated(resources: Resources) -> None:
    """The validator checks the body against a draft-4 model that holds the route's schema."""
    assert only(resources, "ApiGateway::RequestValidator")["ValidateRequestBody"] is True
    for model in of_type(resources, "ApiGateway::Model").values():
        assert model["ContentType"] == "application/json"
        assert model["Schema"] == {"$schema": "http://json-schema.org/draft-04/schema#", **ORDER}


def test_callers_sign_by_default(methods: list[dict[str, Any]]) -> None:
    """Without a word about authorization, only signed requests get in."""
    assert {m["AuthorizationType"] for m in methods} == {"AWS_IAM"}


def test_role_may_store_and_nothing_else(resources: Resources) -> None:
    """The role sends to exactly the routes' stores and uses exactly their customer keys."""
    role = only(resources, "IAM::Role")
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "apigateway.amazonaws.com"},
        }
    ]
    [policy] = role["Policies"]
    granted = []
    for statement in policy["PolicyDocument"]["Statement"]:
        [name] = re.findall(r'"Fn::GetAtt": \["(\w+)[0-9A-F]{8}"', json.dumps(statement["Resource"]))
        granted.append((statement["Action"], name))
    queue_arn = policy["PolicyDocument"]["Statement"][1]["Resource"]["Fn::Join"][1]
    assert [part if isinstance(part, str) else next(iter(part.values())) for part in queue_arn[:-1]] == [
        "arn:", "AWS::Partition", ":sqs:", "AWS::Region", ":", "AWS::AccountId", ":",
    ]  # fmt: skip
    assert granted == [
        ("events:PutEvents", "Bus"),
        ("sqs:SendMessage", "Queue"),
        (["kms:GenerateDataKey", "kms:Decrypt"], "Key"),
        ("sqs:SendMessage", "Fifo"),
    ]


def test_stage_traces_and_logs_without_bodies(resources: Resources) -> None:
    """The stage is traced and logs each request as JSON with its IDs, and never a body."""
    stage = only(resources, "ApiGateway::Stage")
    assert stage["TracingEnabled"] is True
    line = json.loads(stage["AccessLogSetting"]["Format"])
    assert line["request_id"] == "$context.requestId"
    assert line["correlation_id"] == "$context.responseOverride.header.X-Correlation-Id"
    assert {s["DataTraceEnabled"] for s in stage["MethodSettings"]} == {False}
    assert {s["LoggingLevel"] for s in stage["MethodSettings"]} == {"ERROR"}
    assert only(resources, "Logs::LogGroup")["RetentionInDays"] == 30


def test_throttles(resources: Resources) -> None:
    """The API's throttle holds for every method, a route's own for that route."""
    settings = {
        (s["ResourcePath"], s["HttpMethod"]): (s["ThrottlingRateLimit"], s["ThrottlingBurstLimit"])
        for s in only(resources, "ApiGateway::Stage")["MethodSettings"]
    }
    assert settings == {("/*", "*"): (50, 100), ("/", "PATCH"): (1, 2), ("/~1a~1b", "POST"): (3, 4)}


def test_errors_are_problem_json(resources: Resources) -> None:
    """What API Gateway answers by itself is problem+json with an ID to ask about."""
    responses = of_type(resources, "ApiGateway::GatewayResponse")
    kinds = {r["ResponseType"]: r for r in responses.values()}
    assert set(kinds) == {"BAD_REQUEST_BODY", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"}
    for response in kinds.values():
        headers = response["ResponseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        assert headers["gatewayresponse.header.X-Correlation-Id"] == "context.requestId"
        template = response["ResponseTemplates"]["application/json"]
        body = json.loads(re.sub(r"(?<!\")\$context\.error\.messageString", '"x"', template))
        assert body["correlation_id"] == "$context.requestId"
    assert "$context.error.validationErrorString" in str(kinds["BAD_REQUEST_BODY"]["ResponseTemplates"])


def test_throttled_is_429_with_retry_after(resources: Resources) -> None:
    """Who is turned away by the throttle or by trouble of ours is told when to come again."""
    waits = {
        r["ResponseType"]: r["ResponseParameters"].get("gatewayresponse.header.Retry-After")
        for r in of_type(resources, "ApiGateway::GatewayResponse").values()
    }
    assert waits == {
        "THROTTLED": "'1'",
        "DEFAULT_5XX": "'1'",
        "BAD_REQUEST_BODY": None,
        "DEFAULT_4XX": None,
    }


def test_deployment_waits_for_what_it_snapshots(resources: Resources) -> None:
    """The deployment is made after every method and gateway response, or they would not be in it."""
    [deployment] = [r for r in resources.values() if r["Type"] == "AWS::ApiGateway::Deployment"]
    wanted = {
        k
        for k, r in resources.items()
        if r["Type"] in ("AWS::ApiGateway::Method", "AWS::ApiGateway::GatewayResponse")
    }
    assert wanted <= set(deployment["DependsOn"])


def test_nothing_is_written_out_that_differs_between_accounts(resources: Resources) -> None:
    """No partition, region or account stands in the template as text."""
    text = json.dumps(of_type(resources, "ApiGateway::Method"))
    assert "arn:aws" not in text
    assert "us-east-1" not in text


def test_api_is_regional_and_named_after_its_stack(resources: Resources) -> None:
    """The API's name is unique in the region, because its metrics know it by nothing else."""
    api = only(resources, "ApiGateway::RestApi")
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert api["Name"] == {"Fn::Join": ["", [{"Ref": "AWS::StackName"}, "-Api"]]}


def test_alarms(resources: Resources) -> None:
    """Not stored, rejected, slow and near the throttle: each alarm is this stage's and tells someone."""
    alarms = {
        re.sub("^Api|Alarm.*$", "", k): v
        for k, v in of_type(resources, "CloudWatch::Alarm").items()
        if k[:3] == "Api"
    }
    assert set(alarms) == {"NotStored", "Rejected", "Slow", "NearThrottle"}
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert len(alarm["AlarmActions"]) == 1
    name = {"Fn::Join": ["", [{"Ref": "AWS::StackName"}, "-Api"]]}
    assert alarms["NotStored"]["Dimensions"] == [
        {"Name": "ApiName", "Value": name},
        {"Name": "Stage", "Value": "prod"},
    ]
    assert alarms["NearThrottle"]["Threshold"] == 0.8 * 50 * 60
