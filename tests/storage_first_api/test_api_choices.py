"""What a storage-first API can be told, and what stays true then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match
from template_reading import ORDER, of_type, only, synthesized

from resilient_constructs import (
    Authorization,
    EventStore,
    FanOutBus,
    FlowControlledConsumer,
    QueueStore,
    Route,
    StorageFirstApi,
    Throttle,
)
from resilient_constructs.testing import count_jsii


@pytest.fixture
def bus(stack: Stack) -> events.EventBus:
    """A bus of the stack."""
    return events.EventBus(stack, "Bus")


def one_route(stack: Stack, bus: events.IEventBus, **change: Any) -> StorageFirstApi:
    """An API with one route, and what the test changes of it."""
    route = {"path": "/orders", "schema": ORDER, "source": "shop", **change.pop("route", {})}
    store = EventStore(bus=bus, source=route.pop("source"), detail_type="Placed")
    return StorageFirstApi(stack, "Api", routes=[Route.post(store=store, **route)], **change)


def deployment_id(
    schema: dict[str, Any], *, bus_id: str = "Bus", authorization: Authorization | None = None
) -> str:
    """The deployment's logical ID for a definition."""
    stack = Stack(App(), "Shop")
    for index in range(3):
        sqs.Queue(stack, f"Other{bus_id}{index}")  # so that tokens get other numbers
    bus = events.EventBus(stack, bus_id)
    one_route(stack, bus, route={"schema": schema}, authorization=authorization or Authorization.IAM)
    [name] = of_type(synthesized(stack), "ApiGateway::Deployment")
    return name


def test_a_given_log_group_takes_the_access_log(stack: Stack, bus: events.EventBus) -> None:
    """With a log group of the user's own no other is made, and the stage writes into it."""
    mine = logs.LogGroup(stack, "Mine")
    api = one_route(stack, bus, access_log_group=mine)
    template = synthesized(stack)
    assert api.access_log_group is mine
    [name] = of_type(template, "Logs::LogGroup")
    stage = only(template, "ApiGateway::Stage")
    assert {"Ref": name} in stage["AccessLogSetting"]["DestinationArn"]["Fn::Join"][1]


def test_deployment_follows_the_definition() -> None:
    """Whatever changes in the definition, store included, makes a new deployment; the same makes none."""
    same = deployment_id(ORDER)
    assert deployment_id(dict(ORDER)) == same
    others = {
        deployment_id({"type": "object"}),
        deployment_id(ORDER, bus_id="AnotherBus"),
        deployment_id(ORDER, authorization=Authorization.NONE),
    }
    assert len(others | {same}) == 4


@pytest.mark.parametrize("kind", ["queue", "bus"])
def test_deployment_follows_which_of_our_stores_it_is(kind: str) -> None:
    """Another consumer or bus of this package makes a new deployment; the order they are made in does not."""

    def deployed(name: str, *, before: int = 0) -> str:
        stack = Stack(App(), "Shop")
        for number in range(before):
            FanOutBus(stack, f"Earlier{number}")
        function = lambda_.Function.from_function_name(stack, "Function", "function")
        store: QueueStore | EventStore = (
            FlowControlledConsumer(
                stack, name, function=function, visibility_timeout=Duration.minutes(3)
            ).messages()
            if kind == "queue"
            else FanOutBus(stack, name).events(source="shop", detail_type="Placed")
        )
        StorageFirstApi(stack, "Api", routes=[Route.post("/orders", schema=ORDER, store=store)])
        [made] = of_type(synthesized(stack), "ApiGateway::Deployment")
        return made

    assert deployed("One") == deployed("One", before=3)
    assert deployed("One") != deployed("Two")


def test_deployment_follows_who_is_asked_and_who_stores() -> None:
    """Another pool, function, header or role makes a new deployment; else the stage keeps the old one."""

    def deployed(*, by: str = "Pool", header: str = "Authorization", role: str | None = None) -> str:
        stack = Stack(App(), "Shop")
        authorization = (
            Authorization.cognito(cognito.UserPool(stack, by))
            if by.endswith("Pool")
            else Authorization.function(
                lambda_.Function.from_function_name(stack, by, by),
                header=header,
                remembered_for=Duration.minutes(1),
            )
        )
        given = None if role is None else iam.Role.from_role_name(stack, role, role)
        one_route(stack, events.EventBus(stack, "Bus"), authorization=authorization, role=given)
        [name] = of_type(synthesized(stack), "ApiGateway::Deployment")
        return name

    others = {
        deployed(by="AnotherPool"),
        deployed(by="ask"),
        deployed(by="ask-another"),
        deployed(by="ask", header="X-Token"),
        deployed(role="mine"),
        deployed(role="yours"),
    }
    assert deployed() == deployed()
    assert len(others | {deployed()}) == 7


def test_default_throttle_leaves_room_for_others(stack: Stack, bus: events.EventBus) -> None:
    """Without a word about throttling, 100 requests a second and 200 at once are let in."""
    one_route(stack, bus)
    [setting] = only(synthesized(stack), "ApiGateway::Stage")["MethodSettings"]
    assert (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"]) == (100, 200)


def test_open_api_is_said_to_be(stack: Stack, bus: events.EventBus) -> None:
    """Everybody gets in only where NONE was written."""
    one_route(stack, bus, authorization=Authorization.NONE)
    assert only(synthesized(stack), "ApiGateway::Method")["AuthorizationType"] == "NONE"


def test_cognito(stack: Stack, bus: events.EventBus) -> None:
    """With Cognito, the pools' users get in, by a token with one of the scopes."""
    pool = cognito.UserPool(stack, "Pool")
    one_route(stack, bus, authorization=Authorization.cognito(pool, scopes=("orders/write",)))
    resources = synthesized(stack)
    method = only(resources, "ApiGateway::Method")
    [authorizer_id] = of_type(resources, "ApiGateway::Authorizer")
    assert method["AuthorizationType"] == "COGNITO_USER_POOLS"
    assert method["AuthorizationScopes"] == ["orders/write"]
    assert method["AuthorizerId"] == {"Ref": authorizer_id}
    assert (
        only(resources, "ApiGateway::Authorizer")["IdentitySource"] == "method.request.header.Authorization"
    )


def test_authorizer_function(stack: Stack, bus: events.EventBus) -> None:
    """With a function, API Gateway may invoke it for this API's authorizer and for nothing else."""
    function = lambda_.Function(
        stack,
        "Decide",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
    )
    authorization = Authorization.function(function, header="X-Token", remembered_for=Duration.seconds(0))
    one_route(stack, bus, authorization=authorization)
    resources = synthesized(stack)
    authorizer = only(resources, "ApiGateway::Authorizer")
    assert authorizer["AuthorizerResultTtlInSeconds"] == 0
    assert authorizer["IdentitySource"] == "method.request.header.X-Token"
    assert only(resources, "ApiGateway::Method")["AuthorizationType"] == "CUSTOM"
    permission = only(resources, "Lambda::Permission")
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert "/authorizers/" in json.dumps(permission["SourceArn"])


def test_api_keys_bring_the_quota_response(stack: Stack, bus: events.EventBus) -> None:
    """Where keys are asked for, an exceeded quota is a 429 that says to come back much later."""
    one_route(stack, bus, api_key_required=True)
    resources = synthesized(stack)
    assert only(resources, "ApiGateway::Method")["ApiKeyRequired"] is True
    [quota] = [
        r
        for r in of_type(resources, "ApiGateway::GatewayResponse").values()
        if r["ResponseType"] == "QUOTA_EXCEEDED"
    ]
    assert quota["StatusCode"] == "429"
    assert quota["ResponseParameters"]["gatewayresponse.header.Retry-After"] == "'3600'"


def test_account_role_is_opt_in_and_stays(stack: Stack, bus: events.EventBus) -> None:
    """The account's log role is set only when asked for, before the stage, and outlives the stack."""
    one_route(stack, bus, cloud_watch_role=True)
    resources = synthesized(stack)
    [account] = [k for k, r in resources.items() if r["Type"] == "AWS::ApiGateway::Account"]
    assert resources[account]["DeletionPolicy"] == "Retain"
    [stage] = [r for r in resources.values() if r["Type"] == "AWS::ApiGateway::Stage"]
    assert account in stage["DependsOn"]


def test_given_role_gets_what_it_needs(stack: Stack, bus: events.EventBus) -> None:
    """A role handed in is used, and may store afterwards."""
    role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
    one_route(stack, bus, role=role)
    resources = synthesized(stack)
    assert len(of_type(resources, "IAM::Role")) == 1
    [statement] = only(resources, "IAM::Policy")["PolicyDocument"]["Statement"]
    assert statement["Action"] == "events:PutEvents"


def test_queue_of_elsewhere(stack: Stack) -> None:
    """A queue known by its ARN is reached in its own region and account."""
    queue = sqs.Queue.from_queue_arn(stack, "Theirs", "arn:aws:sqs:eu-north-1:111122223333:theirs")
    StorageFirstApi(stack, "Api", routes=[Route.post("/", schema={}, store=queue)])
    uri = json.dumps(only(synthesized(stack), "ApiGateway::Method")["Integration"]["Uri"])
    assert ":apigateway:eu-north-1:sqs:path/111122223333/theirs" in uri


def test_grant_invoke_is_for_this_stage(stack: Stack, bus: events.EventBus) -> None:
    """Whoever is granted may call this stage's route and nothing else."""
    api = one_route(stack, bus)
    user = iam.User(stack, "User")
    api.grant_invoke(user, method="POST", path="/orders")
    [statement] = only(synthesized(stack), "IAM::Policy")["PolicyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"]["Fn::Join"][1][-1] == "/prod/POST/orders"


def test_url_and_views(stack: Stack, bus: events.EventBus) -> None:
    """The URL ends in the stage and a slash, the metrics are this stage's, the L2 view is the same API."""
    api = one_route(stack, bus, stage_name="v1")
    url = stack.resolve(api.url)["Fn::Join"][1]
    assert url[0] == "https://"
    assert url[-1] == "/v1/"
    for metric in (
        api.metric_requests(),
        api.metric_rejected(),
        api.metric_not_stored(),
        api.metric_latency(),
    ):
        assert metric.dimensions is not None
        assert metric.dimensions["Stage"] == "v1"
    assert stack.resolve(api.api.rest_api_id) == stack.resolve(api.rest_api.ref)


def test_throttle_above_the_accounts_quota_warns(stack: Stack, bus: events.EventBus) -> None:
    """A throttle above what all APIs share is legal, and a warning says both numbers."""
    one_route(stack, bus, throttle=Throttle(requests_per_second=20_000, burst=5_000))
    Annotations.from_stack(stack).has_warning("/Stack/Api", Match.string_like_regexp("20,000.*10,000"))


def test_same_id_in_two_scopes_is_two_names(stack: Stack, bus: events.EventBus) -> None:
    """Two APIs of one ID in different scopes have different names, or their alarms would be shared."""
    from constructs import Construct

    names = set()
    for scope in (Construct(stack, "One"), Construct(stack, "Two")):
        names.add(one_route(scope, bus).api_name)  # type: ignore[arg-type]
    assert len(names) == 2


def test_paths_that_differ_only_in_punctuation(stack: Stack, bus: events.EventBus) -> None:
    """Paths whose construct IDs would be the same stand beside each other."""
    store = EventStore(bus=bus, source="shop", detail_type="Placed")
    routes = [Route.post(path, schema={}, store=store) for path in ("/a-b", "/a.b", "/a/b")]
    StorageFirstApi(stack, "Api", routes=routes)
    assert len(of_type(synthesized(stack), "ApiGateway::Method")) == 3


def test_requests_to_node_are_few(app: App) -> None:
    """A further API with one route, its alarms and its place on the dashboard cost few round trips."""
    stack = Stack(app, "Shop")
    bus = events.EventBus(stack, "Bus")
    one_route(stack, bus)
    store = EventStore(bus=bus, source="shop", detail_type="Placed", bus_arn=bus.event_bus_arn)
    with count_jsii() as requests:
        StorageFirstApi(stack, "Second", routes=[Route.post("/orders", schema=ORDER, store=store)])
    assert requests.count <= 25, requests.by_target
