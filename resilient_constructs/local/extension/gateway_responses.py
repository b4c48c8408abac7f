"""``$context.error.validationErrorString`` in gateway responses.

AWS: the reason why a body does not fit its model, as a list in square brackets.
ministack 1.5.33: leaves the variable as it stands.
Here: the generic text of the error; which property is wrong is not told (in the fidelity list).
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import apigateway_v1

_VARIABLES = (b"${context.error.validationErrorString}", b"$context.error.validationErrorString")


def close() -> None:
    """Put it in place."""
    stock = apigateway_v1._gateway_error_response

    def respond(error: Any, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = stock(error, request)
        for variable in _VARIABLES:
            body = body.replace(variable, f"[{error.message}]".encode())
        return status, headers, body

    apigateway_v1._gateway_error_response = respond
