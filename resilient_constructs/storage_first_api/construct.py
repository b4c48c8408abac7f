"""The wiring of a storage-first API: accept, store durably, answer 202; the work comes later."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from aws_cdk import Duration, Names, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.places import settle, stack_of
from resilient_constructs.tokens import is_token, pseudo

from .authorization import Authorization
from .limits import AUTHORIZER_TTL
from .methods import Methods
from .responses import gateway_responses
from .route import DEFAULT_THROTTLE, Route, Throttle, check_routes
from .signals import api_section, api_signals
from .stage import check_stage_name, make_account, make_stage, method_settings, warn_of_quota
from .storing import grant_storing, place_of

__all__ = ["StorageFirstApi"]

# Counts up when this package changes something of every API that the definition below does not spell out
# (a response, the validator, the success pattern): without a new deployment the change would never arrive.
_EDITION = 1

# Strings hold a token by name; a number is a token by its size, and JSON writes it as it is.
_TOKEN = re.compile(r"\$\{Token\[[^\]]*\]\}|-1\.\d+e\+289")


class StorageFirstApi(Construct):
    """A REST API whose routes store a request's body in a queue or on an event bus, and only then answer.

    No function stands in between, so nothing of yours can fail before the request is safe. The answers:

    | status | meaning |
    |---|---|
    | 202 | stored; body ``{"message_id", "correlation_id"}``, header ``X-Correlation-Id`` |
    | 400 | the body does not fit the route's schema, or cannot be a message |
    | 413 | the storage takes no message that large (SQS and EventBridge: 1 MiB with all that belongs to it) |
    | 415 | the body is not ``application/json`` |
    | 429 | more requests than the throttle allows; ``Retry-After`` |
    | 503 | the storage did not take it; ``Retry-After``. It is safe to send again |
    | 504 | no answer from the storage within 29 seconds: it may be stored; sent again, stored twice |

    Every error is ``application/problem+json`` (RFC 9457). A client may send ``X-Correlation-Id`` (1 to 128
    of letters, digits and ``. _ -``); otherwise the request ID becomes the correlation ID. It travels with
    the message to the last handler.

    A client that may have to send a request twice gives both the same ``Idempotency-Key`` (of the same
    letters, a UUID for example): it travels along too and is ``call.idempotency_key`` in the handler, so
    that the second does nothing new. On a FIFO queue it is the deduplication ID as well, unless the route's
    store names a property. Whoever uses the same key means the same request: keys that other clients could
    choose too, such as an order's number, make one request of two. The 202 repeats the key that was taken.

    A stage's access log needs a role that API Gateway may write logs with, set once per account and region.
    Where nobody has done it, say ``cloud_watch_role=True`` in one stack, else CloudFormation answers
    "CloudWatch Logs role ARN must be set in account settings to enable logging".

    :param routes: what is accepted, what it must look like, where it is stored
    :param authorization: who may call. Default: ``Authorization.IAM``, whoever signs with IAM and was given
        ``grant_invoke``. An API open to everybody is a decision that is written down:
        ``Authorization.NONE``
    :param api_key_required: whether calls need an API key of a usage plan as well. Default: no
    :param throttle: how many requests are let in. Default: 100 a second, 200 at once. All APIs of an account
        in a region share 10,000 a second, so an API without a limit could silence the others
    :param stage_name: the stage, which is part of the URL. Default: ``prod``
    :param role: the role that API Gateway stores with; what it needs is added to it. Default: one is made
        that may write to the routes' stores and do nothing else
    :param access_log_group: where each request leaves one line of JSON. Default: one is made
    :param log_retention: how long the log group made here keeps its lines. Default: one month
    :param detailed_metrics: whether CloudWatch gets metrics per route too, which it charges for. Default: no;
        the stage's own metrics are free and feed the alarms
    :param cloud_watch_role: whether this stack sets the account's role for API Gateway's logs. It stays when
        the stack goes, because other APIs need it too. Default: no
    :param on_call: who is told when an alarm goes off. Default: nobody
    :raises ValueError: when a path, schema, store or throttle is impossible; all faults at once

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        routes: Sequence[Route],
        authorization: Authorization = Authorization.IAM,
        api_key_required: bool = False,
        throttle: Throttle = DEFAULT_THROTTLE,
        stage_name: str = "prod",
        role: iam.IRole | None = None,
        access_log_group: logs.ILogGroup | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        detailed_metrics: bool = False,
        cloud_watch_role: bool = False,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        faults = Faults(f"StorageFirstApi {construct_id!r}")
        check_routes(routes, faults)
        throttle.check(faults)
        if authorization.remembered_for is not None:
            faults.check(AUTHORIZER_TTL, authorization.remembered_seconds)
        check_stage_name(stage_name, faults)
        faults.raise_any()
        places = [place_of(self, route, faults) for route in routes]
        faults.raise_any()
        self.stage_name = stage_name
        self.api_name = self._name_api(scope, construct_id)

        self.rest_api = apigateway.CfnRestApi(
            self,
            "RestApi",
            name=self.api_name,
            endpoint_configuration=apigateway.CfnRestApi.EndpointConfigurationProperty(types=["REGIONAL"]),
        )
        role_arn = grant_storing(self, role, places)
        methods = Methods(
            self,
            rest_api=self.rest_api,
            role_arn=role_arn,
            authorization=authorization,
            api_key_required=api_key_required,
        )
        for route, place in zip(routes, places, strict=True):
            methods.add(route, place)
        responses = self._make_gateway_responses(api_keys=api_key_required)
        self.methods: Sequence[apigateway.CfnMethod] = tuple(methods.made)
        """The methods, in the order of the routes."""
        named = {token: words for place in places for token, words in place.named.items()}
        if role is None:
            named[role_arn] = "its own role"
        self.deployment = self._deploy(methods, responses, named)

        self.access_log_group: logs.ILogGroup = access_log_group or logs.LogGroup(
            self, "AccessLog", retention=log_retention, removal_policy=RemovalPolicy.RETAIN
        )
        log_group_name = self.access_log_group.log_group_name
        warn_of_quota(self, throttle)
        self.stage = make_stage(
            self,
            rest_api=self.rest_api,
            deployment=self.deployment,
            stage_name=stage_name,
            log_group_name=log_group_name,
            method_settings=method_settings(routes, throttle, detailed_metrics=detailed_metrics),
        )
        if cloud_watch_role:
            self.stage.node.add_dependency(make_account(self))

        rate = None if is_token(throttle.requests_per_second) else throttle.requests_per_second
        #: the alarms by their signals' names
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = monitor(
            self,
            signals=api_signals(api_name=self.api_name, stage_name=stage_name, requests_per_second=rate),
            section=api_section(
                title=construct_id,
                api_name=self.api_name,
                stage_name=stage_name,
                requests_per_second=rate,
                log_group=log_group_name,
            ),
            on_call=on_call,
        )

    def _name_api(self, scope: Construct, construct_id: str) -> str:
        # API Gateway wants a name, and its metrics know an API by nothing else: two of one name in a region
        # would share their alarms. The stack's name is unique there, the ID is within the stack.
        name = construct_id if isinstance(scope, Stack) else Names.unique_resource_name(self, separator="-")
        return f"{pseudo().stack_name}-{name}"

    def _make_gateway_responses(self, *, api_keys: bool) -> list[apigateway.CfnGatewayResponse]:
        return [
            apigateway.CfnGatewayResponse(
                self,
                response.construct_id,
                rest_api_id=self.rest_api,
                response_type=response.response_type,
                status_code=response.status,
                response_parameters=response.parameters,
                response_templates={"application/json": response.template},
            )
            for response in gateway_responses(api_keys=api_keys)
        ]

    def _deploy(
        self,
        methods: Methods,
        responses: Sequence[apigateway.CfnGatewayResponse],
        named: Mapping[str, str],
    ) -> apigateway.CfnDeployment:
        """A deployment is a snapshot: a changed definition needs a new one, and so a new logical ID."""
        definition = {
            "edition": _EDITION,
            "methods": methods.definition,
            "responses": [
                [r.response_type, r.status, r.template, dict(r.parameters)]
                for r in gateway_responses(api_keys=methods.api_key_required)
            ],
        }
        text = _settled(json.dumps(definition, sort_keys=True), stack_of(self), named)
        deployment = apigateway.CfnDeployment(
            self, f"Deployment{hashlib.sha256(text.encode()).hexdigest()[:16]}", rest_api_id=self.rest_api
        )
        deployment.node.add_dependency(*methods.made, *responses)
        return deployment

    @cached_property
    def url(self) -> str:
        """The API's URL with its stage, ending in a slash."""
        aws = pseudo()
        return f"https://{self.rest_api.ref}.execute-api.{aws.region}.{aws.url_suffix}/{self.stage_name}/"

    @cached_property
    def api(self) -> apigateway.IRestApi:
        """The API as other constructs take it."""
        return apigateway.RestApi.from_rest_api_attributes(
            self,
            "Api",
            rest_api_id=self.rest_api.ref,
            root_resource_id=self.rest_api.attr_root_resource_id,
            rest_api_name=self.api_name,
        )

    def arn_for_execute_api(self, method: str = "*", path: str = "/*") -> str:
        """The ARN that ``execute-api:Invoke`` is allowed on: one method on one path of this stage."""
        aws = pseudo()
        return (
            f"arn:{aws.partition}:execute-api:{aws.region}:{aws.account}:{self.rest_api.ref}"
            f"/{self.stage_name}/{method}{path}"
        )

    def grant_invoke(self, grantee: iam.IGrantable, *, method: str = "*", path: str = "/*") -> iam.Grant:
        """Let someone call the API, or one method on one path of it, with signed requests."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["execute-api:Invoke"],
            resource_arns=[self.arn_for_execute_api(method, path)],
        )

    def metric(
        self, metric_name: str, *, statistic: str = "Sum", period: Duration | None = None
    ) -> cloudwatch.Metric:
        """A CloudWatch metric of this API's stage. Default period: one minute."""
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=metric_name,
            dimensions_map={"ApiName": self.api_name, "Stage": self.stage_name},
            statistic=statistic,
            period=period or Duration.minutes(1),
        )

    def metric_requests(self, *, statistic: str = "Sum", period: Duration | None = None) -> cloudwatch.Metric:
        """All requests."""
        return self.metric("Count", statistic=statistic, period=period)

    def metric_rejected(self, *, statistic: str = "Sum", period: Duration | None = None) -> cloudwatch.Metric:
        """Requests answered with 4xx."""
        return self.metric("4XXError", statistic=statistic, period=period)

    def metric_not_stored(
        self, *, statistic: str = "Sum", period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Requests answered with 5xx."""
        return self.metric("5XXError", statistic=statistic, period=period)

    def metric_latency(self, *, statistic: str = "p99", period: Duration | None = None) -> cloudwatch.Metric:
        """Milliseconds from request to answer."""
        return self.metric("Latency", statistic=statistic, period=period)


def _settled(text: str, stack: Stack, named: Mapping[str, str]) -> str:
    """``text`` with what each token stands for: tokens are numbered as they come up, logical IDs stay.

    Only tokens that nobody has words for go to Node; the road not taken, resolving the whole definition,
    takes five times as long.
    """
    for token, words in {**named, **pseudo().words()}.items():
        text = text.replace(token, words)
    tokens = list(dict.fromkeys(_TOKEN.findall(text)))
    if tokens:
        for token, value in zip(tokens, stack.resolve(tokens), strict=True):
            text = text.replace(token, json.dumps(value, sort_keys=True))
    return text
