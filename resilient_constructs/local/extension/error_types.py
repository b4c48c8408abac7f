"""``errorType`` of a failed invocation, and what its log says.

AWS: the exception's class name, with its stack trace; a failed import is in the log; ``Runtime.ExitError``
where the process ended in the middle.
ministack 1.5.33: ``Runtime.HandlerError`` for all of these; nothing in the log of a failed import.
https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
"""

from __future__ import annotations

import re
from typing import Any

from ministack.services import lambda_svc

# What ministack says of a worker that is gone: while it worked, before it answered, before it was asked.
_GONE = ("Worker process died", "Worker returned no response", "Broken pipe")

_LAST_LINE = re.compile(r"^(?:[\w.]+\.)?([A-Za-z_]\w*)(?::|$)")


def close() -> None:
    """Put it in place."""
    stock = lambda_svc._execute_function_warm

    def execute(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        result: dict[str, Any] = stock(func, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            if any(gone in str(body.get("errorMessage")) for gone in _GONE):
                body["errorType"] = "Runtime.ExitError"
                body["errorMessage"] = f"RequestId: {request_id} Error: Runtime exited without a reason"
            else:
                _tell_class(body, result.get("log", ""))
        elif result.get("error") and isinstance(body, dict) and not result.get("log"):
            result["log"] = f"[ERROR] {body.get('errorType')}: {body.get('errorMessage')}"
        return result

    lambda_svc._execute_function_warm = execute


def _tell_class(body: dict[str, Any], log: str) -> None:
    _, marker, trace = log.rpartition("Traceback (most recent call last):")
    if not marker:
        return
    lines = trace.strip("\n").splitlines()
    # The exception stands in the last line that is not indented; a message of several lines follows it.
    named = next((m for line in lines if (m := _LAST_LINE.match(line))), None)
    if named is not None:
        body["errorType"] = named[1]
        body["stackTrace"] = [line for line in lines if line.startswith(" ")]
