"""The queue that feeds a function: what a consumer must know of it, and whom it must grant what."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .limits import CONFIGURE_PAGE, QUEUE_VISIBILITY_UNSET

__all__ = ["let_poll", "read_redrive", "read_visibility"]

# Exactly these are required of the execution role by Lambda's pollers. The CDK's grant_consume_messages adds
# GetQueueUrl, which nobody calls.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-lambda-function-trigger.html
_POLL = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
# This package's runtime says when a message that goes back returns; the pollers never do.
_RETURN = "sqs:ChangeMessageVisibility"


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
