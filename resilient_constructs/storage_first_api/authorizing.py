"""The authorizer of an API, where its authorization needs one."""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from resilient_constructs.tokens import pseudo

from .authorization import Authorization

__all__ = ["make_authorizer"]


def make_authorizer(
    scope: Construct, rest_api: apigateway.CfnRestApi, authorization: Authorization
) -> apigateway.CfnAuthorizer | None:
    """The authorizer as child ``Authorizer`` of ``scope``; None for IAM and for no authorization."""
    if authorization.user_pools:
        return apigateway.CfnAuthorizer(
            scope,
            "Authorizer",
            rest_api_id=rest_api,
            # a required name, unique within this API and nowhere else
            name="Authorizer",
            type="COGNITO_USER_POOLS",
            provider_arns=[pool.user_pool_arn for pool in authorization.user_pools],
            identity_source=f"method.request.header.{authorization.header}",
        )
    if authorization.authorizer is None:
        return None
    return _function_authorizer(scope, rest_api, authorization, authorization.authorizer)


def _function_authorizer(
    scope: Construct,
    rest_api: apigateway.CfnRestApi,
    authorization: Authorization,
    function: lambda_.IFunction,
) -> apigateway.CfnAuthorizer:
    aws = pseudo()
    function_arn = function.function_arn
    authorizer = apigateway.CfnAuthorizer(
        scope,
        "Authorizer",
        rest_api_id=rest_api,
        name="Authorizer",
        type="TOKEN",
        authorizer_uri=f"arn:{aws.partition}:apigateway:{aws.region}:lambda:path/2015-03-31/functions/"
        f"{function_arn}/invocations",
        authorizer_result_ttl_in_seconds=authorization.remembered_seconds,
        identity_source=f"method.request.header.{authorization.header}",
    )
    lambda_.CfnPermission(
        scope,
        "AuthorizerPermission",
        action="lambda:InvokeFunction",
        function_name=function_arn,
        principal="apigateway.amazonaws.com",
        source_arn=f"arn:{aws.partition}:execute-api:{aws.region}:{aws.account}:{rest_api.ref}"
        f"/authorizers/{authorizer.ref}",
    )
    return authorizer
