"""Probes of REST APIs with direct service integrations."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local


_FORM = (
    "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    "&MessageAttribute.1.Name=id&MessageAttribute.1.Value.DataType=String"
    "&MessageAttribute.1.Value.StringValue=$context.requestId"
)
_ACCEPTED = (
    "#set($id = $input.path('$.SendMessageResponse.SendMessageResult.MessageId'))"
    '#if($id != "")#set($context.responseOverride.header.X-Kind = "stored"){"id":"$id"}'
    "#else #set($context.responseOverride.status = 503){}#end"
)
_REFUSED = '{"code":"$input.path(\'$.Error.Code\')"}'
_ENTRY = (
    '{"Entries":[{"EventBusName":"${stageVariables.bus}","Source":"shop","DetailType":"Placed",'
    r""""Detail":"$util.escapeJavaScript($input.body).replaceAll("\\'","'")"}]}"""
)
_ENTRY_ANSWER = (
    "#if($input.path('$.FailedEntryCount') == 0){\"id\":\"$input.path('$.Entries[0].EventId')\"}"
    "#else #set($context.responseOverride.status = 503){}#end"
)


def _response(status: str, pattern: str | None, template: str) -> dict[str, Any]:
    made: dict[str, Any] = {"StatusCode": status, "ResponseTemplates": {"application/json": template}}
    return made if pattern is None else {**made, "SelectionPattern": pattern}


def _method(resource: str, integration: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Ref": resource},
            "HttpMethod": "POST",
            "AuthorizationType": "NONE",
            "RequestValidatorId": {"Ref": "Validator"},
            "RequestModels": {"application/json": {"Ref": "Model"}},
            "Integration": {
                "Type": "AWS",
                "IntegrationHttpMethod": "POST",
                "PassthroughBehavior": "NEVER",
                "Credentials": {"Fn::GetAtt": ["Role", "Arn"]},
                **integration,
            },
        },
    }


def _template(*, granted: bool, rate: int = 1000) -> dict[str, Any]:
    """An API with two routes: /queue stores in a queue, /bus puts an event."""
    grant = {
        "Effect": "Allow" if granted else "Deny",
        "Action": ["sqs:SendMessage", "events:PutEvents"],
        "Resource": "*",
    }
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    root = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    api = {"Ref": "Api"}
    return {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "orders"}},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                "Policies": [
                    {"PolicyName": "P", "PolicyDocument": {"Version": "2012-10-17", "Statement": [grant]}}
                ],
            },
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "probe"}},
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {
                "RestApiId": api,
                "ContentType": "application/json",
                "Schema": {"type": "object", "required": ["n"]},
            },
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {"RestApiId": api, "ValidateRequestBody": True},
        },
        "QueuePath": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": api, "ParentId": root, "PathPart": "queue"},
        },
        "BusPath": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": api, "ParentId": root, "PathPart": "bus"},
        },
        "ToQueue": _method(
            "QueuePath",
            {
                "Uri": {
                    "Fn::Sub": (
                        "arn:aws:apigateway:${AWS::Region}:sqs:path/${AWS::AccountId}/${Queue.QueueName}"
                    )
                },
                "RequestParameters": {
                    "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"
                },
                "RequestTemplates": {"application/json": _FORM},
                "IntegrationResponses": [
                    _response("500", None, _REFUSED),
                    _response("202", "2\\d\\d", _ACCEPTED),
                ],
            },
        ),
        "ToBus": _method(
            "BusPath",
            {
                "Uri": {"Fn::Sub": "arn:aws:apigateway:${AWS::Region}:events:action/PutEvents"},
                "RequestTemplates": {"application/json": _ENTRY},
                "IntegrationResponses": [
                    _response("500", None, "{}"),
                    _response("202", "2\\d\\d", _ENTRY_ANSWER),
                ],
            },
        ),
        "Throttled": {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                "RestApiId": api,
                "ResponseType": "THROTTLED",
                "ResponseParameters": {"gatewayresponse.header.Retry-After": "'3'"},
            },
        },
        "Invalid": {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                "RestApiId": api,
                "ResponseType": "BAD_REQUEST_BODY",
                "ResponseParameters": {"gatewayresponse.header.Content-Type": "'application/problem+json'"},
                "ResponseTemplates": {
                    "application/json": (
                        '{"detail":"$context.error.validationErrorString","id":"$context.requestId"}'
                    )
                },
            },
        },
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": ["ToQueue", "ToBus", "Throttled", "Invalid"],
            "Properties": {"RestApiId": api},
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": api,
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "prod",
                "Variables": {"bus": "orders"},
                "MethodSettings": [
                    {
                        "ResourcePath": "/*",
                        "HttpMethod": "*",
                        "ThrottlingRateLimit": rate,
                        "ThrottlingBurstLimit": rate,
                    }
                ],
            },
        },
    }


def _post(
    url: str, body: str, content_type: str = "application/json"
) -> tuple[int, dict[str, str], dict[str, Any]]:
    request = urllib.request.Request(
        url, data=body.encode(), headers={"Content-Type": content_type}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, dict(refused.headers), json.loads(refused.read())


@pytest.fixture
def deploy(local_aws: LocalAws, create_stack: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Deploys the API; answers with physical IDs and its ``url``."""

    def make(**options: Any) -> dict[str, str]:
        made = create_stack(_template(**options))
        return {**made, "url": f"{local_aws.endpoint}/restapis/{made['Api']}/prod/_user_request_"}

    return make


def test_queue_route(local_aws: LocalAws, deploy: Callable[..., dict[str, str]]) -> None:
    """A body reaches the queue byte for byte, $context is filled in, the answer overridden."""
    made = deploy(granted=True)
    body = '{"n": 10.00, "t": "it\'s é+&="}'
    status, headers, answer = _post(f"{made['url']}/queue", body)
    (message,) = local_aws.client("sqs").receive_message(
        QueueUrl=made["Queue"], MessageAttributeNames=["All"]
    )["Messages"]
    assert (status, headers["X-Kind"]) == (202, "stored")
    assert message["Body"] == body
    assert message["MessageId"] == answer["id"]
    assert message["MessageAttributes"]["id"]["StringValue"] == headers["x-amzn-requestid"]


def test_role_is_enforced(local_aws: LocalAws, deploy: Callable[..., dict[str, str]]) -> None:
    """Without the grant the queue refuses API Gateway's role, and the template sees why."""
    made = deploy(granted=False)
    status, _, answer = _post(f"{made['url']}/queue", '{"n": 1}')
    assert (status, answer["code"]) == (500, "AccessDenied")
    (refused,) = [call for call in local_aws.calls() if not call.allowed and made["Role"] in call.principal]
    assert refused.action == "sqs:SendMessage"


def test_bus_route(local_aws: LocalAws, deploy: Callable[..., dict[str, str]]) -> None:
    """A body becomes an event's detail, put under the integration's role."""
    made = deploy(granted=True)
    status, _, answer = _post(f"{made['url']}/bus", '{"n": "it\'s \\"q\\""}')
    assert status == 202
    assert answer["id"]
    assert [call.resource for call in local_aws.calls() if made["Role"] in call.principal] == [
        "arn:aws:events:us-east-1:000000000000:event-bus/orders"
    ]


def test_missing_bus_fails_the_entry(local_aws: LocalAws, deploy: Callable[..., dict[str, str]]) -> None:
    """A call of which the one entry failed does not pass for success."""
    made = deploy(granted=False)
    assert _post(f"{made['url']}/bus", '{"n": 1}')[0] == 500


@pytest.mark.parametrize("body", ["{}", "{no json", ""])
def test_validator(deploy: Callable[..., dict[str, str]], body: str) -> None:
    """A body that does not fit the model is answered with 400 by the gateway response."""
    made = deploy(granted=True)
    status, headers, answer = _post(f"{made['url']}/queue", body)
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert answer["id"] == headers["x-amzn-requestid"]
    assert "$context" not in answer["detail"]


def test_unsupported_media_type(deploy: Callable[..., dict[str, str]]) -> None:
    """With passthrough NEVER a media type without a template is answered with 415."""
    made = deploy(granted=True)
    assert _post(f"{made['url']}/queue", '{"n": 1}', "text/plain")[0] == 415


def test_throttle(deploy: Callable[..., dict[str, str]]) -> None:
    """Above the stage's rate and burst the answer is 429 with the gateway response's header."""
    made = deploy(granted=True, rate=2)
    answers = [_post(f"{made['url']}/queue", '{"n": 1}') for _ in range(12)]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert {status for status, _, _ in answers} == {202, 429}
    assert {headers["Retry-After"] for headers in refused} == {"3"}
