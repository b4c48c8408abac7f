"""The function that consumes, made from a handler or given: what a consumer must know of it, and grant it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Annotations, Duration, Tokenization
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.resilient_function.limits import TIMEOUT
from resilient_constructs.tokens import is_token, seconds

from .limits import CONFIGURE_PAGE, FUNCTION_TIMEOUT_UNSET, QUEUE_VISIBILITY_UNSET

__all__ = [
    "Consuming",
    "expected",
    "expression_number",
    "let_poll",
    "read_function",
    "read_redrive",
    "read_visibility",
]

# Exactly these are required of the execution role by Lambda's pollers. The CDK's grant_consume_messages adds
# GetQueueUrl, which nobody calls.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-lambda-function-trigger.html
_POLL = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
# This package's runtime says when a message that goes back returns; the pollers never do.
_RETURN = "sqs:ChangeMessageVisibility"


@dataclass(frozen=True, kw_only=True, slots=True)
class Consuming:
    """What a consumer must know of the function that it feeds.

    :param timeout: seconds, a token, or None when it cannot be read (an imported function)
    :param reserved_concurrency: None when there is none, or it cannot be read
    :param dimensions: what CloudWatch knows it by; for an alias, the alias
    """

    timeout: float | None
    reserved_concurrency: float | None
    dimensions: Mapping[str, str]


def expected(timeout: Duration | None, reserved_concurrency: float | None) -> Consuming:
    """What is known of a function that is still to be made from a handler."""
    return Consuming(
        timeout=seconds(timeout, default=TIMEOUT.default or 0),
        reserved_concurrency=reserved_concurrency,
        dimensions={},
    )


def read_function(function: lambda_.IFunction) -> Consuming:
    """Read what can be read of a given function; of an alias or a version, of the function behind it."""
    behind = _behind(function)
    name = behind.function_name
    dimensions = {"FunctionName": name}
    if isinstance(function, lambda_.Alias):
        dimensions["Resource"] = f"{name}:{function.alias_name}"
    elif isinstance(function, lambda_.Version):
        dimensions["Resource"] = f"{name}:{function.version}"
    if not isinstance(behind, lambda_.Function):
        return Consuming(timeout=None, reserved_concurrency=None, dimensions=dimensions)
    timeout = behind.timeout
    resource = behind.node.default_child
    reserved = resource.reserved_concurrent_executions if isinstance(resource, lambda_.CfnFunction) else None
    return Consuming(
        timeout=FUNCTION_TIMEOUT_UNSET if timeout is None else timeout.to_seconds(),
        reserved_concurrency=reserved,
        dimensions=dimensions,
    )


def read_visibility(queue: sqs.IQueue) -> float | None:
    """The visibility timeout of a given queue in seconds; None where it can't be read (an imported queue)."""
    resource = queue.node.default_child if isinstance(queue, sqs.Queue) else None
    if not isinstance(resource, sqs.CfnQueue):
        return None
    timeout = resource.visibility_timeout
    return QUEUE_VISIBILITY_UNSET if timeout is None else timeout


def read_redrive(queue: sqs.IQueue) -> sqs.DeadLetterQueue | None:
    """Where a given queue gives its messages up to, and when; None where it never does or does not tell."""
    return queue.dead_letter_queue if isinstance(queue, sqs.Queue) else None


def let_poll(
    scope: Construct, function: lambda_.IFunction, queue: sqs.IQueue, key: kms.IKey | None, *, given: bool
) -> Sequence[iam.Grant]:
    """Grant the function's role what Lambda's pollers and our runtime do in its name, and nothing else.

    :param key: the customer key that encrypts the queue, if any
    :param given: whether the function was made elsewhere, so that its role may be out of reach
    :return: what must stand before the event source mapping, because Lambda checks it when that is made
    """
    if given and function.role is None:
        decrypt = "" if key is None else " and kms:Decrypt on its key"
        Annotations.of(scope).add_warning_v2(
            "resilient:FlowControlledConsumer/role",
            f"The given function was imported without its role, so 0 of the {len(_POLL)} permissions that"
            f" Lambda's pollers need could be granted. Import it with its role, or allow it"
            f" {', '.join(_POLL)} on the queue{decrypt} ({CONFIGURE_PAGE})",
        )
        return ()
    granted = queue.grant(function, *_POLL) if given else queue.grant(function, _RETURN, *_POLL)
    return (granted,) if key is None else (granted, key.grant(function, "kms:Decrypt"))


def expression_number(value: float) -> str:
    """The number as it is written in a metric-math expression; a number token as a string token."""
    if is_token(value):
        return Tokenization.stringify_number(value)
    return f"{value:g}"


def _behind(function: lambda_.IFunction) -> lambda_.IFunction:
    if isinstance(function, lambda_.Alias):
        return function.version.lambda_
    if isinstance(function, lambda_.Version):
        return function.lambda_
    return function
