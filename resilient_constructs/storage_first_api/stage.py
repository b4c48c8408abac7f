"""The stage: what is let in, what is logged, what is measured."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token, pseudo

from .access_log import ACCESS_LOG_FORMAT
from .limits import ACCOUNT_REQUESTS_PER_SECOND, STAGE_PAGE
from .route import Route, Throttle

__all__ = ["check_stage_name", "make_account", "make_stage", "method_settings", "warn_of_quota"]


def make_stage(
    scope: Construct,
    *,
    rest_api: apigateway.CfnRestApi,
    deployment: apigateway.CfnDeployment,
    stage_name: str,
    log_group_name: str,
    method_settings: Sequence[apigateway.CfnStage.MethodSettingProperty],
) -> apigateway.CfnStage:
    """Make the stage, traced and with an access log."""
    aws = pseudo()
    return apigateway.CfnStage(
        scope,
        "Stage",
        rest_api_id=rest_api,
        deployment_id=deployment,
        stage_name=stage_name,
        tracing_enabled=True,
        access_log_setting=apigateway.CfnStage.AccessLogSettingProperty(
            destination_arn=f"arn:{aws.partition}:logs:{aws.region}:{aws.account}:log-group:{log_group_name}",
            format=ACCESS_LOG_FORMAT,
        ),
        method_settings=method_settings,
    )


def method_settings(
    routes: Sequence[Route], throttle: Throttle, *, detailed_metrics: bool
) -> list[apigateway.CfnStage.MethodSettingProperty]:
    """The API's throttle for every method, and the routes' own after it."""

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
    return [setting("/*", "*", throttle), *own]


def make_account(scope: Construct) -> apigateway.CfnAccount:
    """The account's role for API Gateway's logs; kept when the stack goes, as other APIs use it.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
    """
    role = iam.Role(
        scope,
        "CloudWatchRole",
        assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
        managed_policies=[
            iam.ManagedPolicy.from_aws_managed_policy_name(
                "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
            )
        ],
    )
    role.apply_removal_policy(RemovalPolicy.RETAIN)
    account = apigateway.CfnAccount(scope, "Account", cloud_watch_role_arn=role.role_arn)
    account.apply_removal_policy(RemovalPolicy.RETAIN)
    return account


def warn_of_quota(scope: Construct, throttle: Throttle) -> None:
    """Warn when one API lets in more than all of an account share."""
    rate = throttle.requests_per_second
    if is_token(rate) or rate <= ACCOUNT_REQUESTS_PER_SECOND:
        return
    Annotations.of(scope).add_warning_v2(
        "resilient:StorageFirstApi/throttle-above-quota",
        f"The throttle lets in {rate:,g} requests per second, but all APIs of an account in a region share "
        f"{ACCOUNT_REQUESTS_PER_SECOND:,} unless AWS raised that quota. Lower the throttle, or ask for more: "
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html",
    )


def check_stage_name(stage_name: str, faults: Faults) -> None:
    """Note what API Gateway takes for no stage name."""
    if is_token(stage_name):
        return
    plain = stage_name.replace("_", "").replace("-", "")
    if not plain.isalnum() or not plain.isascii() or len(stage_name) > 128:
        faults.add("stage_name", stage_name, "1 to 128 of letters, digits, _ and -", STAGE_PAGE)


def _resource_path(route: Route) -> str:
    """The path as a stage's settings write it: its slashes, but for the first, as ``~1``."""
    return "/" + "~1".join(("", *route.segments)) if route.segments else "/"
