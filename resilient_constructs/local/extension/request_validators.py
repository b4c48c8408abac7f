"""AWS::ApiGateway::RequestValidator, and a method's link to it.

AWS: a method with a validator answers 400 to a body that does not fit its model.
ministack 1.5.33: its API enforces validators, its CloudFormation makes none and drops the method's link, so
that everything is let through.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

from ministack.services import apigateway_v1

from .resources import Created, Properties, answer, register, wrap_create


def close() -> None:
    """Put it in place."""
    register("AWS::ApiGateway::RequestValidator", _create, _delete)
    wrap_create("AWS::ApiGateway::Method", _link)


def _truth(value: object) -> bool:
    return str(value).lower() == "true"


def _create(logical_id: str, properties: Properties, _stack: str) -> tuple[str, dict[str, str]]:
    data = {
        "name": properties.get("Name", logical_id),
        "validateRequestBody": _truth(properties.get("ValidateRequestBody")),
        "validateRequestParameters": _truth(properties.get("ValidateRequestParameters")),
    }
    api = properties["RestApiId"]
    made = answer(apigateway_v1._create_request_validator(api, data), "AWS::ApiGateway::RequestValidator")
    return made["id"], {"RequestValidatorId": made["id"]}


def _delete(physical_id: str, properties: Properties) -> None:
    apigateway_v1._delete_request_validator(properties["RestApiId"], physical_id)


def _link(_made: Created, properties: Properties) -> None:
    if properties.get("RequestValidatorId"):
        resource = apigateway_v1._resources[properties["RestApiId"]][properties["ResourceId"]]
        method = resource["resourceMethods"][properties["HttpMethod"]]
        method["requestValidatorId"] = properties["RequestValidatorId"]
