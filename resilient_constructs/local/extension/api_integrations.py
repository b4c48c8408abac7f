"""REST API integrations of type AWS with a service other than Lambda.

AWS: renders the request template (Velocity), calls the service under the integration's role, chooses an
integration response by the status code, renders its template, and honours overrides.
ministack 1.5.33: SQS's form protocol alone, with ``$context`` empty, no directives but ``#set``, few
functions, no role; other services are taken for Lambda.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-integration-settings-integration-response.html
"""

from __future__ import annotations

import contextvars
import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from airspeed import TemplateError
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1

from resilient_constructs.local.vtl import Rendered, Request, json_path, render

from .service_calls import Answer, ServiceCall, send

__all__ = ["close"]

_SESSION = "BackplaneAssumeRoleSession"  # what API Gateway calls its sessions
_JSON_TARGETS = {
    "events": ("AWSEvents", "1.1"),
    "sqs": ("AmazonSQS", "1.0"),
    "states": ("AWSStepFunctions", "1.0"),
    "kinesis": ("Kinesis_20131202", "1.1"),
    "dynamodb": ("DynamoDB_20120810", "1.0"),
}
_Response = tuple[int, dict[str, str], bytes]
_gateway_request: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("gateway_request")


def close() -> None:
    """Put it in place."""
    execute = apigateway_v1._execute_in_scope
    lambda_custom = apigateway_v1._invoke_lambda_custom_v1

    async def remember(request: dict[str, Any], *arguments: Any) -> Any:
        _gateway_request.set(request)
        return await execute(request, *arguments)

    async def invoke(integration: dict[str, Any], *arguments: Any, **options: Any) -> _Response:
        target = apigateway_v1._parse_service_integration_uri(integration.get("uri", ""))
        if target is None or target[1] == "lambda":
            response: _Response = await lambda_custom(integration, *arguments, **options)
            return response
        return await _invoke_service(integration, target, *arguments, **options)

    apigateway_v1._execute_in_scope = remember
    apigateway_v1._invoke_lambda_custom_v1 = invoke
    apigateway_v1._invoke_sqs_v1 = invoke


async def _invoke_service(
    integration: dict[str, Any],
    target: tuple[str, str, str, str],
    api_id: str,
    stage_name: str,
    stage: dict[str, Any],
    resource: dict[str, Any],
    path: str,
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
    path_parameters: Mapping[str, str],
    **_options: Any,
) -> _Response:
    request = Request(
        body=body.decode(errors="replace") if body else "",
        path=path_parameters or {},
        query={name: value[0] if isinstance(value, list) else value for name, value in (query or {}).items()},
        # ASGI has lowered the names; clients of HTTP/1.1 send them capitalized, and templates ask for either.
        headers={**{name.title(): value for name, value in headers.items()}, **headers},
        context=_context(api_id, stage_name, resource, path, method, headers),
        stage_variables=stage.get("variables") or {},
    )
    try:
        call = _call(integration, target, request)
        answer = await send(call)
        if call.service == "sqs":
            answer = _as_json(answer)
        return _respond(integration, request, answer)
    except TemplateError as error:
        return _failure(500, f"a mapping template is no Velocity: {error}")


def _context(
    api_id: str, stage: str, resource: Mapping[str, Any], path: str, method: str, headers: Mapping[str, str]
) -> dict[str, Any]:
    now = time.time()
    request_id = _gateway_request.get()["request_id"]
    return {
        "requestId": request_id,
        "extendedRequestId": request_id[:16],
        "apiId": api_id,
        "accountId": get_account_id(),
        "stage": stage,
        "httpMethod": method,
        "path": f"/{stage}{path}",
        "resourcePath": resource.get("path", ""),
        "resourceId": resource.get("id", ""),
        "protocol": "HTTP/1.1",
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "identity": {"sourceIp": "127.0.0.1", "userAgent": headers.get("user-agent", "")},
        "domainName": headers.get("host", ""),
    }


def _call(integration: Mapping[str, Any], target: tuple[str, str, str, str], request: Request) -> ServiceCall:
    region, service, verb, rest = target
    headers, query = _mapped_request(integration, request)
    body = _rendered_body(integration, request)
    account, path = get_account_id(), "/"
    if verb == "path" and rest.strip("/"):
        path = f"/{rest.strip('/')}"
        account = rest.strip("/").split("/")[0] if service == "sqs" and "/" in rest.strip("/") else account
    elif verb == "action" and service in _JSON_TARGETS and "x-amz-target" not in headers:
        prefix, version = _JSON_TARGETS[service]
        headers = {**headers, "x-amz-target": f"{prefix}.{rest}"}
        headers.setdefault("content-type", f"application/x-amz-json-{version}")
    if query:
        body = "&".join(filter(None, [urlencode(query), body]))
    headers.setdefault("content-type", "application/json")
    return ServiceCall(
        service=service,
        region=region or get_region(),
        account=account,
        role=integration.get("credentials"),
        session=_SESSION,
        path=path,
        headers=headers,
        body=body,
    )


def _rendered_body(integration: Mapping[str, Any], request: Request) -> str:
    media_type = _media_type(request.headers.get("content-type", "application/json"))
    templates = {
        _media_type(name): text for name, text in (integration.get("requestTemplates") or {}).items()
    }
    template = templates.get(media_type)
    return request.body if template is None else render(template, request).text


def _media_type(text: str) -> str:
    return text.split(";", 1)[0].strip().lower()


def _mapped_request(
    integration: Mapping[str, Any], request: Request
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and query parameters that ``requestParameters`` maps."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    for destination, source in (integration.get("requestParameters") or {}).items():
        value = _value(source, request)
        if value is None:
            continue
        if destination.startswith("integration.request.header."):
            headers[destination.removeprefix("integration.request.header.").lower()] = value
        elif destination.startswith("integration.request.querystring."):
            query[destination.removeprefix("integration.request.querystring.")] = value
    return headers, query


def _value(source: str, request: Request) -> str | None:
    """A mapping expression's value; None where its source is absent."""
    if len(source) > 1 and source[0] == source[-1] == "'":
        return source[1:-1]
    for prefix, values in (
        ("method.request.header.", {k.lower(): v for k, v in request.headers.items()}),
        ("method.request.querystring.", request.query),
        ("method.request.path.", request.path),
        ("stageVariables.", request.stage_variables),
    ):
        if source.startswith(prefix):
            name = source.removeprefix(prefix)
            return values.get(name.lower() if "header" in prefix else name)
    if source == "method.request.body":
        return request.body
    if source.startswith("context."):
        found = json_path(dict(request.context), f"$.{source.removeprefix('context.')}")
        return None if found is None else str(found)
    return None


def _as_json(answer: Answer) -> Answer:
    """SQS's XML as the JSON that API Gateway gets, since it asks for ``application/json``."""
    if not answer.body.lstrip().startswith("<"):
        return answer
    root = ET.fromstring(answer.body)  # noqa: S314 (our own emulator wrote it)
    name, content = _element(root)
    document = content if name == "ErrorResponse" else {name: content}
    return Answer(status=answer.status, body=json.dumps(document))


def _element(element: ET.Element) -> tuple[str, Any]:
    name = re.sub(r"^\{[^}]*\}", "", element.tag)
    if len(element) == 0:
        return name, element.text
    return name, dict(_element(child) for child in element)


def _respond(integration: Mapping[str, Any], request: Request, answer: Answer) -> _Response:
    chosen = apigateway_v1._select_service_integration_response(integration, answer.status)
    if chosen is None:
        return _failure(500, "Internal server error")
    rendered = Rendered(text=answer.body)
    templates = chosen.get("responseTemplates") or {}
    if templates:
        template = templates.get("application/json") or next(iter(templates.values()))
        seen = Request(
            body=answer.body,
            path=request.path,
            query=request.query,
            headers=request.headers,
            context=request.context,
            stage_variables=request.stage_variables,
        )
        rendered = render(template, seen)
    headers = {"Content-Type": "application/json", "x-amzn-requestid": str(request.context["requestId"])}
    for destination, source in (chosen.get("responseParameters") or {}).items():
        value = _answer_value(source, request, answer)
        if destination.startswith("method.response.header.") and value is not None:
            _set(headers, destination.removeprefix("method.response.header."), value)
    for name, value in rendered.headers.items():
        _set(headers, name, value)
    return rendered.status or int(chosen["statusCode"]), headers, rendered.text.encode()


def _answer_value(source: str, request: Request, answer: Answer) -> str | None:
    if source.startswith("integration.response.body."):
        try:
            found = json_path(
                json.loads(answer.body), f"$.{source.removeprefix('integration.response.body.')}"
            )
        except ValueError:
            return None
        return None if found is None else str(found)
    return _value(source, request)


def _set(headers: dict[str, str], name: str, value: str) -> None:
    for other in [other for other in headers if other.lower() == name.lower()]:
        del headers[other]
    headers[name] = value


def _failure(status: int, message: str) -> _Response:
    return status, {"Content-Type": "application/json"}, json.dumps({"message": message}).encode()
