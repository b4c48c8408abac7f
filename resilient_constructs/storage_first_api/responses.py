"""What API Gateway answers on its own, before or instead of storage, as ``application/problem+json``.

These templates are not Velocity: API Gateway substitutes ``$context`` variables and does nothing else.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .limits import RETRY_AFTER_QUOTA_SECONDS, RETRY_AFTER_SECONDS

__all__ = ["GatewayResponse", "gateway_responses"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayResponse:
    """One of the answers that API Gateway gives by itself.

    :param response_type: its name in API Gateway
    :param construct_id: its construct ID
    :param template: the body, with ``$context`` variables
    :param status: the status code. Default: API Gateway's own for the error
    :param retry_after: seconds after which another try makes sense. Default: no such header
    """

    response_type: str
    construct_id: str
    template: str
    status: str | None = None
    retry_after: int | None = None

    @property
    def parameters(self) -> Mapping[str, str]:
        """The headers, as API Gateway maps them.

        The client's own correlation header is not echoed here: there is no way to check it in a gateway
        response, and nothing was stored that it could be correlated with. The request ID is in the access
        log, whatever happened.
        """
        headers = {
            "gatewayresponse.header.Content-Type": "'application/problem+json'",
            "gatewayresponse.header.X-Correlation-Id": "context.requestId",
        }
        if self.retry_after is not None:
            headers["gatewayresponse.header.Retry-After"] = f"'{self.retry_after}'"
        return headers


def _problem(*, title: str, detail: str, status: str = "") -> str:
    code = f'"status":{status},' if status else ""
    return (
        f'{{"type":"about:blank","title":{title},{code}"detail":{detail},'
        '"correlation_id":"$context.requestId"}'
    )


_MESSAGE = "$context.error.messageString"
_TYPE = '"$context.error.responseType"'


def gateway_responses(*, api_keys: bool) -> tuple[GatewayResponse, ...]:
    """The gateway responses of one API.

    :param api_keys: whether API keys are asked for; only then can a usage plan's quota be exceeded
    """
    invalid = GatewayResponse(
        response_type="BAD_REQUEST_BODY",
        construct_id="InvalidBodyResponse",
        status="400",
        # validationErrorString comes with its quotes escaped and none around it
        template=_problem(
            title='"Bad Request"', status="400", detail='"$context.error.validationErrorString"'
        ),
    )
    throttled = GatewayResponse(
        response_type="THROTTLED",
        construct_id="ThrottledResponse",
        status="429",
        template=_problem(
            title='"Too Many Requests"',
            status="429",
            detail='"More requests arrive than this API takes. Send this one again after a moment."',
        ),
        retry_after=RETRY_AFTER_SECONDS,
    )
    quota = GatewayResponse(
        response_type="QUOTA_EXCEEDED",
        construct_id="QuotaExceededResponse",
        status="429",
        template=_problem(
            title='"Too Many Requests"', status="429", detail='"The quota of this API key is used up."'
        ),
        retry_after=RETRY_AFTER_QUOTA_SECONDS,
    )
    client = GatewayResponse(
        response_type="DEFAULT_4XX",
        construct_id="ClientErrorResponse",
        template=_problem(title=_TYPE, detail=_MESSAGE),
    )
    server = GatewayResponse(
        response_type="DEFAULT_5XX",
        construct_id="ServerErrorResponse",
        template=_problem(title=_TYPE, detail=_MESSAGE),
        retry_after=RETRY_AFTER_SECONDS,
    )
    return (invalid, throttled, *((quota,) if api_keys else ()), client, server)
