"""One line of JSON per request, with the names that the runtime's status records use too.

``correlation_id`` is what the response carries; a request that was turned away before the storage has none
("-") and is found by ``request_id``, which the client got as ``X-Correlation-Id``.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import json

__all__ = ["ACCESS_LOG_FORMAT"]

_FIELDS = {
    "request_id": "$context.requestId",
    "correlation_id": "$context.responseOverride.header.X-Correlation-Id",
    "trace_id": "$context.xrayTraceId",
    "time": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "path": "$context.resourcePath",
    "status": "$context.status",
    "error": "$context.error.responseType",
    "integration_status": "$context.integration.status",
    "integration_error": "$context.integration.error",
    "latency_ms": "$context.responseLatency",
    "integration_latency_ms": "$context.integration.latency",
    "response_bytes": "$context.responseLength",
    "source_ip": "$context.identity.sourceIp",
    "caller": "$context.identity.caller",
}

ACCESS_LOG_FORMAT = json.dumps(_FIELDS, separators=(",", ":"))
