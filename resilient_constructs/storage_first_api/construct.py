"""The wiring of a storage-first API: accept, store durably, answer 202; the work comes later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from aws_cdk import Duration, Names, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.tokens import is_token

from .access_log import ACCESS_LOG_FORMAT
from .limits import STAGE_PAGE
from .methods import Methods
from .responses import gateway_responses
from .route import DEFAULT_THROTTLE, Authorization, Route, Throttle, check_routes
from .signals import api_section, api_signals
from .storing import Place, place_of, pseudo

__all__ = ["StorageFirstApi"]


class StorageFirstApi(Construct):
    """A REST API whose routes store a request's body in a queue or on an event bus, and only then answer.

    No function stands in between, so nothing of yours can fail before the request is safe. The answers:

    ====  ========================================================================================
    202   stored; body ``{"message_id", "correlation_id"}``, header ``X-Correlation-Id``
    400   the body does not fit the route's schema, or cannot be a message
    413   the storage takes no message that large (SQS and EventBridge: 1 MiB with all that belongs to it)
    415   the body is not ``application/json``
    429   more requests than the throttle allows; ``Retry-After``
    503   the storage did not take it; ``Retry-After``. It is safe to send again
    504   the storage did not answer within 29 seconds: it may be stored; sent again, it may be stored twice
    ====  ========================================================================================

    Every error is ``application/problem+json`` (RFC 9457). A client may send ``X-Correlation-Id`` (1 to 128
    of letters, digits and ``. _ -``); otherwise the request ID becomes the correlation ID. It travels with
    the message to the last handler.

    A stage's access log needs a role that API Gateway may write logs with, set once per account and region.
    Where nobody has done it, say ``cloud_watch_role=True`` in one stack, else CloudFormation answers
    "CloudWatch Logs role ARN must be set in account settings to enable logging".

    :param routes: what is accepted, what it must look like, where it is stored
    :param authorization: who may call. Default: whoever signs with IAM and was given :meth:`grant_invoke`;
        an API open to everybody is a decision that is written down, ``Authorization.NONE``
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
        faults = Faults(f"StorageFirstApi {construct_id!r}")
        check_routes(routes, faults)
        throttle.check(faults)
        _check_stage_name(stage_name, faults)
        faults.raise_any()
        places = [place_of(route, faults) for route in routes]
        faults.raise_any()
        self.stage_name = stage_name
        self.api_name = self._name_api(scope, construct_id)

        self.rest_api = apigateway.CfnRestApi(
            self,
            "RestApi",
            name=self.api_name,
            endpoint_configuration=apigateway.CfnRestApi.EndpointConfigurationProperty(types=["REGIONAL"]),
        )
        role_arn = self._grant_storing(role, places)
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
        self.deployment = self._deploy(scope, methods, responses)

        self.access_log_group: logs.ILogGroup = access_log_group or logs.LogGroup(
            self, "AccessLog", retention=log_retention, removal_policy=RemovalPolicy.RETAIN
        )
        log_group_name = self.access_log_group.log_group_name
        self.stage = self._make_stage(routes, throttle, log_group_name, detailed_metrics=detailed_metrics)
        if cloud_watch_role:
            self.stage.add_dependency(self._make_account())

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

    def _grant_storing(self, role: iam.IRole | None, places: Sequence[Place]) -> str:
        statements = list({json.dumps(s): s for place in places for s in place.statements}.values())
        if role is not None:
            for statement in statements:
                role.add_to_principal_policy(iam.PolicyStatement.from_json(statement))
            return role.role_arn
        # No condition on who API Gateway acts for: its documentation names no source key for integration
        # roles, and nobody can hand this role to an API of theirs without iam:PassRole in this account.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html
        made = iam.CfnRole(
            self,
            "Role",
            assume_role_policy_document=_policy(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "apigateway.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ),
            policies=[iam.CfnRole.PolicyProperty(policy_name="Store", policy_document=_policy(*statements))],
        )
        return made.attr_arn

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
        self, scope: Construct, methods: Methods, responses: Sequence[apigateway.CfnGatewayResponse]
    ) -> apigateway.CfnDeployment:
        """A deployment is a snapshot: a changed definition needs a new one, and so a new logical ID."""
        definition = {
            "methods": methods.definition,
            "responses": [
                [r.response_type, r.status, r.template, dict(r.parameters)]
                for r in gateway_responses(api_keys=methods.api_key_required)
            ],
        }
        stack = scope if isinstance(scope, Stack) else Stack.of(self)
        # Tokens are numbered as they come up; resolved, they are logical IDs and stay the same.
        text = json.dumps(stack.resolve(definition), sort_keys=True)
        deployment = apigateway.CfnDeployment(
            self, f"Deployment{hashlib.sha256(text.encode()).hexdigest()[:16]}", rest_api_id=self.rest_api
        )
        deployment.node.add_dependency(*methods.made, *responses)
        return deployment

    def _make_stage(
        self, routes: Sequence[Route], throttle: Throttle, log_group_name: str, *, detailed_metrics: bool
    ) -> apigateway.CfnStage:
        def setting(path: str, method: str, limit: Throttle) -> apigateway.CfnStage.MethodSettingProperty:
            return apigateway.CfnStage.MethodSettingProperty(
                resource_path=path,
                http_method=method,
                throttling_rate_limit=limit.requests_per_second,
                throttling_burst_limit=limit.burst,
                logging_level="ERROR",
                # bodies are the clients' data and have no place in a log
                data_trace_enabled=False,
                metrics_enabled=detailed_metrics,
            )

        own = [
            setting(_resource_path(route), route.method, route.throttle)
            for route in routes
            if route.throttle is not None
        ]
        aws = pseudo()
        return apigateway.CfnStage(
            self,
            "Stage",
            rest_api_id=self.rest_api,
            deployment_id=self.deployment,
            stage_name=self.stage_name,
            tracing_enabled=True,
            access_log_setting=apigateway.CfnStage.AccessLogSettingProperty(
                destination_arn=f"arn:{aws.partition}:logs:{aws.region}:{aws.account}:log-group:{log_group_name}",
                format=ACCESS_LOG_FORMAT,
            ),
            method_settings=[setting("/*", "*", throttle), *own],
        )

    def _make_account(self) -> apigateway.CfnAccount:
        """The account's role for API Gateway's logs; kept when the stack goes, as other APIs use it.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
        """
        role = iam.Role(
            self,
            "CloudWatchRole",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        return account

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


def _resource_path(route: Route) -> str:
    """The path as a stage's settings write it: its slashes, but for the first, as ``~1``."""
    return "/" + "~1".join(("", *route.segments)) if route.segments else "/"


def _policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _check_stage_name(stage_name: str, faults: Faults) -> None:
    if is_token(stage_name):
        return
    plain = stage_name.replace("_", "").replace("-", "")
    if not plain.isalnum() or not plain.isascii() or len(stage_name) > 128:
        faults.add("stage_name", stage_name, "1 to 128 of letters, digits, _ and -", STAGE_PAGE)
