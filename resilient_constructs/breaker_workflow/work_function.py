"""A Lambda function as a workflow's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_

from resilient_constructs.resilient_function import ResilientFunction
from resilient_constructs.resilient_function.limits import TIMEOUT as FUNCTION_TIMEOUT
from resilient_constructs.tokens import is_token, pseudo

from .limits import CALLBACK_PAGE
from .machine import PlatformRetry, WorkTask
from .task_time import whole_seconds

if TYPE_CHECKING:
    from .work import Work

__all__ = ["KEY_TOLD", "function"]

# The work's key, beside the payload: a handler gets its input as it is, and our runtime the key for its call.
# As ASCII, for an execution's name may have other letters, and not every base64 of a text knows these.
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
KEY_TOLD = "{% $base64encode($string({'custom': {'idempotency_key': $encodeUrlComponent($job.key)}})) %}"

# What is not in a function's own timeout: Lambda finds an environment and starts it.
_STARTING = 30
_CALLBACK = 3600
# What Lambda takes when a function's timeout is not set.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_UNSET = 3
# None of these says anything of what the function does.
# https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
_HICCUPS = PlatformRetry(
    errors=(
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
    ),
    attempts=6,
    interval_seconds=2,
    longest_seconds=60,
)
# Concurrency comes back as invocations end, which may take as long as one of them.
_THROTTLED = PlatformRetry(
    errors=("Lambda.TooManyRequestsException",), attempts=10, interval_seconds=2, longest_seconds=120
)
_NOBODY_ANSWERS = (
    "answer",
    "the function of work is imported, and its role is not known here: nobody was allowed to answer for the"
    " task's token, so each call would end by its heartbeat. Call workflow.grant_task_response(role), or"
    f" import the function by Function.from_function_attributes with its role ({CALLBACK_PAGE})",
)
# What our runtime raises before anything was asked of anybody: for an open circuit, a missing turn, an input
# that could not be read from its bucket.
_PUT_OFF = ("CircuitOpen", "ClaimNotRead", "NoTurn", "SlowDown")


def function(
    kind: type[Work],
    called: ResilientFunction | lambda_.IFunction,
    *,
    payload: object,
    timeout: Duration | None,
    heartbeat: Duration | None,
) -> Work:
    """See ``Work.function``."""
    ours = called if isinstance(called, ResilientFunction) else None
    plain = called.function if isinstance(called, ResilientFunction) else called
    arn = plain.function_arn
    default = _CALLBACK if heartbeat is not None else _own_timeout(called) + _STARTING
    limit, complaints = whole_seconds("work.timeout", timeout, default)
    silence, more = (None, ()) if heartbeat is None else whole_seconds("work.heartbeat", heartbeat, 1)
    wait = heartbeat is not None
    sent: Any = {"token": "{% $states.context.Task.Token %}", "input": payload} if wait else payload
    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::lambda:invoke{'.waitForTaskToken' if wait else ''}",
            arguments={"FunctionName": arn, "ClientContext": KEY_TOLD, "Payload": sent},
            # with a token the result is what was sent with it
            output=None if wait else "{% $states.result.Payload %}",
            timeout_seconds=limit,
            heartbeat_seconds=silence,
            platform_retries=(_THROTTLED, _HICCUPS),
        ),
        statements=({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn},),
        throttles=_PUT_OFF,
        standard_only="it waits for a task token" if wait else None,
        reader=None if ours is None else ours.role,
        answers=plain.role if wait else None,
        # an imported function's role is often not known
        warnings=(_NOBODY_ANSWERS,) if wait and plain.role is None else (),
        complaints=(*complaints, *more),
    )


def _own_timeout(called: ResilientFunction | lambda_.IFunction) -> float:
    """The function's own timeout, or Lambda's longest where it cannot be read."""
    longest = FUNCTION_TIMEOUT.high or 0
    if isinstance(called, ResilientFunction):
        return longest if is_token(called.timeout_seconds) else called.timeout_seconds
    if not isinstance(called, lambda_.Function):
        return longest
    own = called.timeout
    found = _UNSET if own is None else own.to_seconds()
    return longest if is_token(found) else found
