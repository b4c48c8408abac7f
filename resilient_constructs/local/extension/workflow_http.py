"""Tasks that call an HTTP endpoint, and the connections that they authenticate with.

AWS: ``http:invoke`` calls an HTTPS endpoint with the credentials of an EventBridge connection. An answer that
is no 2xx is ``States.Http.StatusCode.<status>``, no answer ``States.Http.Socket``. The role needs
``states:InvokeHTTPEndpoint`` for method and endpoint, ``events:RetrieveConnectionCredentials``, and the
connection's secret.
ministack 1.5.33: fails every such task, and rejects AWS::Events::Connection.
Here: all of that, but plain HTTP is allowed as well, and a connection's secret is a name without a secret.
https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-connection.html
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge
from ministack.services import stepfunctions as sfn

from .resources import Properties, answer, physical_name, register
from .workflow_permissions import require
from .workflow_running import CURRENT

__all__ = ["close"]

_TIMEOUT = 60
_RESOURCE = ":states:::http:invoke"
_FORM = "application/x-www-form-urlencoded"
_FAILED = "Events.ConnectionResource"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_open = urllib.request.build_opener(_NoRedirect).open


def close() -> None:
    """Put it in place."""
    invoke = sfn._invoke_resource

    def invoke_http(resource: str, data: Any) -> Any:
        return _call(data) if resource.endswith(_RESOURCE) else invoke(resource, data)

    sfn._invoke_resource = invoke_http
    register("AWS::Events::Connection", _create, _delete)


def _call(data: Mapping[str, Any]) -> dict[str, Any]:
    url, method = str(data["ApiEndpoint"]), str(data["Method"])
    run = CURRENT.get()
    if run is not None:
        # This action has the state machine as its resource.
        machine = str(run.execution["stateMachineArn"])
        about = {"states:HTTPEndpoint": url, "states:HTTPMethod": method}
        require(
            "states:InvokeHTTPEndpoint", machine, context=about, error="States.Http.AccessDeniedException"
        )
    connection = _connection(data)
    parameters = (connection.get("AuthParameters") or {}).get("InvocationHttpParameters") or {}
    headers = {**(data.get("Headers") or {}), **_pairs(parameters.get("HeaderParameters"))}
    query = {**(data.get("QueryParameters") or {}), **_pairs(parameters.get("QueryStringParameters"))}
    key = (get_account_id(), get_region(), connection["Name"])
    headers |= eventbridge._connection_auth_headers(connection, key)
    request = urllib.request.Request(  # noqa: S310  whoever deploys locally says what is called
        f"{url}{'&' if '?' in url else '?'}{urllib.parse.urlencode(query, doseq=True)}" if query else url,
        data=_body(data, headers, _pairs(parameters.get("BodyParameters"))),
        headers={name: str(value) for name, value in headers.items()},
        method=method,
    )
    try:
        with _open(request, timeout=_TIMEOUT) as reply:
            content = reply.read().decode(errors="replace")
            return {
                "StatusCode": reply.status,
                "StatusText": reply.reason,
                "Headers": {name: [value] for name, value in reply.headers.items()},
                "ResponseBody": _read(content, reply.headers.get_content_type()),
            }
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise sfn._ExecutionError(f"States.Http.StatusCode.{error.code}", said) from error
    except OSError as error:
        raise sfn._ExecutionError("States.Http.Socket", str(error)) from error


def _connection(data: Mapping[str, Any]) -> dict[str, Any]:
    config = data.get("InvocationConfig") or data.get("Authentication") or {}
    arn = str(config.get("ConnectionArn"))
    require("events:RetrieveConnectionCredentials", arn, error=f"{_FAILED}.AccessDenied")
    found = eventbridge._connections.get(arn.partition(":connection/")[2].partition("/")[0])
    if found is None:
        raise sfn._ExecutionError(f"{_FAILED}.ResourceNotFound", f"{arn} does not exist")
    require("secretsmanager:GetSecretValue", _secret(found["Name"]), error=f"{_FAILED}.AccessDenied")
    return dict(found)


def _body(data: Mapping[str, Any], headers: dict[str, Any], more: Mapping[str, Any]) -> bytes | None:
    body = data.get("RequestBody")
    if isinstance(body, dict):
        body = {**body, **more}
    if body is None:
        return None
    kind = next((str(value) for name, value in headers.items() if name.lower() == "content-type"), None)
    if kind is None:
        headers["Content-Type"] = kind = "application/json"
    if kind.startswith(_FORM) and isinstance(body, dict):
        return urllib.parse.urlencode(body, doseq=True).encode()
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _read(content: str, kind: str) -> Any:
    if kind.endswith("json"):
        try:
            return json.loads(content)
        except ValueError:
            return content
    return content


def _pairs(parameters: Any) -> dict[str, Any]:
    return {one["Key"]: one.get("Value", "") for one in parameters or ()}


def _create(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
    name = properties.get("Name") or physical_name(stack, logical_id, longest=64)
    made = answer(eventbridge._create_connection({**properties, "Name": name}), "AWS::Events::Connection")
    arn = made["ConnectionArn"]
    return name, {"Arn": arn, "ArnForPolicy": arn, "SecretArn": _secret(name)}


def _delete(physical_id: str, _properties: Properties) -> None:
    eventbridge._delete_connection({"Name": physical_id})


def _secret(name: str) -> str:
    # EventBridge owns it and gives it a name like this.
    return f"arn:aws:secretsmanager:{get_region()}:{get_account_id()}:secret:events!connection/{name}/local"
