"""Who may call an API, and what has to be made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resilient_constructs.tokens import seconds

from .limits import AUTHORIZER_TTL

if TYPE_CHECKING:
    from aws_cdk import Duration
    from aws_cdk import aws_cognito as cognito
    from aws_cdk import aws_lambda as lambda_

__all__ = ["Authorization"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Authorization:
    """Who may call: ``IAM``, ``NONE``, or what ``cognito`` and ``function`` return.

    :param kind: API Gateway's word for it
    :param user_pools: for Cognito, whose users may call
    :param scopes: for Cognito, the OAuth scopes of which an access token must have one
    :param authorizer: the function that decides
    :param header: the request header with the token
    :param remembered_for: how long a decision holds for the same token

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-control-access-to-api.html
    """

    kind: str
    user_pools: tuple[cognito.IUserPool, ...] = ()
    scopes: tuple[str, ...] = ()
    authorizer: lambda_.IFunction | None = None
    header: str = "Authorization"
    remembered_for: Duration | None = None

    #: Whoever signs the request and is allowed ``execute-api:Invoke``; see ``StorageFirstApi.grant_invoke``.
    IAM: ClassVar[Authorization]
    #: Everybody on the internet.
    NONE: ClassVar[Authorization]

    @property
    def definition(self) -> list[str]:
        """All that a new deployment of the API is needed for: a stage goes on asking the old authorizer.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/updating-api.html
        """
        asked = [pool.user_pool_arn for pool in self.user_pools]
        if self.authorizer is not None:
            asked += [self.authorizer.function_arn, str(self.remembered_seconds)]
        return [self.kind, *self.scopes, *([*asked, self.header] if asked else [])]

    @property
    def remembered_seconds(self) -> float:
        """How many seconds a function's decision holds, maybe a token."""
        return seconds(self.remembered_for, default=AUTHORIZER_TTL.default or 0)

    @classmethod
    def cognito(cls, *user_pools: cognito.IUserPool, scopes: tuple[str, ...] = ()) -> Authorization:
        """Users of these pools, by the token in the ``Authorization`` header.

        :param scopes: with scopes an access token is asked for, without an identity token
        """
        return cls(kind="COGNITO_USER_POOLS", user_pools=user_pools, scopes=scopes)

    @classmethod
    def function(
        cls,
        function: lambda_.IFunction,
        *,
        header: str = "Authorization",
        remembered_for: Duration | None = None,
    ) -> Authorization:
        """Whom a function lets in, by the token in a header.

        :param function: gets the token and returns an IAM policy
        :param remembered_for: how long its decision holds for a token, at most an hour. Default: 5 minutes
        """
        return cls(kind="CUSTOM", authorizer=function, header=header, remembered_for=remembered_for)


Authorization.IAM = Authorization(kind="AWS_IAM")
Authorization.NONE = Authorization(kind="NONE")
