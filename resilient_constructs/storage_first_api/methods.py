"""Routes as API Gateway's resources, models and methods."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from .authorization import Authorization
from .authorizing import make_authorizer
from .route import Route
from .schema import DRAFT
from .storing import Place

__all__ = ["Methods"]


class Methods:
    """Makes the routes of one API, and remembers what a deployment of it consists of."""

    def __init__(
        self,
        scope: Construct,
        *,
        rest_api: apigateway.CfnRestApi,
        role_arn: str,
        authorization: Authorization,
        api_key_required: bool,
    ) -> None:
        self._scope = scope
        self._rest_api = rest_api
        self._role_arn = role_arn
        self._authorization = authorization
        self.api_key_required = api_key_required
        self._authorizer = make_authorizer(scope, rest_api, authorization)
        self._allowed = authorization.definition
        self._root = rest_api.attr_root_resource_id
        self._resources: dict[tuple[str, ...], apigateway.CfnResource] = {}
        self._ids: set[str] = set()
        self._validator = apigateway.CfnRequestValidator(
            scope,
            "BodyValidator",
            rest_api_id=rest_api,
            validate_request_body=True,
            validate_request_parameters=True,
        )
        self.made: list[apigateway.CfnMethod] = []
        self._definitions: list[Mapping[str, Any]] = []

    @property
    def definition(self) -> list[Mapping[str, Any]]:
        """Everything about the methods that makes a new deployment necessary when it changes."""
        return self._definitions

    def add(self, route: Route, place: Place) -> None:
        """Make the route's resource, its body's model and its method."""
        resource = self._resource(route.segments)
        name = route.method.capitalize() + _words(route.segments)
        schema = {"$schema": DRAFT, **route.schema}
        model = apigateway.CfnModel(
            self._scope,
            self._unused(f"{name}Model", route),
            rest_api_id=self._rest_api,
            content_type="application/json",
            schema=schema,
        )
        model_name = model.ref
        method = apigateway.CfnMethod(
            self._scope,
            self._unused(f"{name}Method", route),
            rest_api_id=self._rest_api,
            resource_id=resource,
            http_method=route.method,
            authorization_type=self._authorization.kind,
            authorization_scopes=list(self._authorization.scopes) or None,
            authorizer_id=self._authorizer,
            api_key_required=self.api_key_required,
            request_validator_id=self._validator,
            # Without $default a content type that no model is given for would not be validated at all.
            # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
            request_models={"application/json": model_name, "$default": model_name},
            integration=place.integration(self._role_arn),
            method_responses=[
                apigateway.CfnMethod.MethodResponseProperty(status_code="202"),
                apigateway.CfnMethod.MethodResponseProperty(
                    status_code="503", response_parameters={"method.response.header.Content-Type": True}
                ),
            ],
        )
        self.made.append(method)
        self._definitions.append(
            {
                "route": [route.method, *route.segments],
                "schema": schema,
                "authorization": [*self._allowed, self.api_key_required],
                # a role that went with its old deployment still serving would fail every request
                "credentials": self._role_arn,
                **place.definition,
            }
        )

    def _resource(self, segments: tuple[str, ...]) -> apigateway.CfnResource | str:
        if not segments:
            return self._root
        if segments not in self._resources:
            self._resources[segments] = apigateway.CfnResource(
                self._scope,
                self._unused(f"{_words(segments)}Resource", segments),
                rest_api_id=self._rest_api,
                parent_id=self._resource(segments[:-1]),
                path_part=segments[-1],
            )
        return self._resources[segments]

    def _unused(self, construct_id: str, of: object) -> str:
        """The ID, or the ID with a digest where two paths differ only in what an ID leaves out."""
        if construct_id in self._ids:
            construct_id += hashlib.sha256(repr(of).encode()).hexdigest()[:8].upper()
        self._ids.add(construct_id)
        return construct_id


def _words(segments: tuple[str, ...]) -> str:
    """``("v1", "bulk-orders")`` as ``V1BulkOrders``; the root as ``Root``."""
    letters = "".join(" " if not c.isalnum() else c for c in " ".join(segments))
    return "".join(word[0].upper() + word[1:] for word in letters.split()) or "Root"
