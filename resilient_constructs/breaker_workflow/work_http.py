"""An HTTPS endpoint as a workflow's work, called by Step Functions itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_cdk import Duration
from aws_cdk import aws_events as events

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token, pseudo

from .limits import FORBIDDEN_HEADERS, HTTP_METHODS, HTTP_PAGE, HTTP_TIMEOUT
from .machine import PlatformRetry, WorkTask
from .task_time import whole_seconds

if TYPE_CHECKING:
    from .work import Work

__all__ = ["KEY_OF_WORK", "http"]

# The name that the first execution of this work had: the same for every attempt, after every parking, and
# when its dead letter is sent back. The machine's variable and not the execution's input, which all items of
# an inline batch share.
KEY_OF_WORK = "{% $job.key %}"
_STATUS = "States.Http.StatusCode."
# 408, 425 and 429 ask to come again; all other 4xx are about what was sent. 501, 505 and 511 are about what
# the server will never do. https://www.rfc-editor.org/rfc/rfc9110#section-15.5
_REFUSALS = (501, 505, 511)
# By an expression: a hundred names in each of the states that call would be a tenth of the definition.
_MEANING = f"""($contains($name, '{_STATUS}4')
    and $not($name in {[f"{_STATUS}{status}" for status in (408, 425, 429)]}) ? 'no' : '')"""
_CONNECTION = "Events.ConnectionResource."
_PASSING = PlatformRetry(
    errors=tuple(
        _CONNECTION + name for name in ("AuthInProgress", "ConcurrentModification", "InternalError")
    ),
    attempts=5,
    interval_seconds=2,
    longest_seconds=30,
)
_LASTING = tuple(
    _CONNECTION + name
    for name in (
        "AccessDenied",
        "InvalidConnectionState",
        "InvalidPrivateConnectionState",
        "ResourceNotFound",
    )
)
_FORBIDDEN_BEGINNINGS = ("x-forwarded-", "x-amz-", "x-amzn-")


def http(
    kind: type[Work],
    url: str,
    *,
    connection: events.IConnection,
    method: str,
    body: object | None,
    headers: Mapping[str, str] | None,
    query: Mapping[str, str] | None,
    may_call: str | None,
    output: object,
    error_of_result: str | None,
    timeout: Duration | None,
) -> Work:
    """See ``Work.http``."""
    arn = connection.connection_arn
    limit, complaints = whole_seconds("work.timeout", timeout, HTTP_TIMEOUT.default or 0)
    arguments: dict[str, Any] = {
        "ApiEndpoint": url,
        "Method": method,
        "InvocationConfig": {"ConnectionArn": arn},
        "Headers": {"Idempotency-Key": KEY_OF_WORK, **(headers or {})},
    }
    if body is not None:
        arguments["RequestBody"] = body
    if query:
        arguments["QueryParameters"] = dict(query)

    def complain(faults: Faults) -> None:
        faults.check(HTTP_TIMEOUT, limit)
        _check(faults, url, method, headers or {}, may_call)

    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::http:invoke",
            arguments=arguments,
            output=output,
            timeout_seconds=limit,
            error_of_result=error_of_result,
            meaning=_MEANING,
            platform_retries=(_PASSING,),
        ),
        statements=(
            {"Effect": "Allow", "Action": "events:RetrieveConnectionCredentials", "Resource": arn},
            {
                "Effect": "Allow",
                "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
                "Resource": connection.connection_secret_arn,
            },
        ),
        on_machine=(
            {
                "Effect": "Allow",
                "Action": "states:InvokeHTTPEndpoint",
                "Condition": {
                    "StringEquals": {"states:HTTPMethod": method},
                    "StringLike": {"states:HTTPEndpoint": may_call or url},
                },
            },
        ),
        rejects=(*(f"{_STATUS}{status}" for status in _REFUSALS), *_LASTING),
        throttles=(f"{_STATUS}429",),
        complaints=(*complaints, complain),
    )


def _check(faults: Faults, url: str, method: str, headers: Mapping[str, str], may_call: str | None) -> None:
    is_expression = url.startswith("{%")
    if is_expression and may_call is None:
        allowed = "a pattern, 'https://api.example.com/*', because url is an expression"
        faults.add("work.may_call", None, allowed, HTTP_PAGE)
    if not is_expression and not is_token(url) and not url.startswith("https://"):
        faults.add("work.url", url, "an address that begins with https://", HTTP_PAGE)
    if method not in HTTP_METHODS:
        faults.add("work.method", method, f"one of {', '.join(sorted(HTTP_METHODS))}", HTTP_PAGE)
    for name in headers:
        lower = name.lower()
        if lower in FORBIDDEN_HEADERS or lower.startswith(_FORBIDDEN_BEGINNINGS):
            allowed = "headers that Step Functions does not set itself; credentials go into the connection"
            faults.add(f"work.headers[{name!r}]", name, allowed, HTTP_PAGE)
