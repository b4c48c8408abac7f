"""Executions that ended without giving their work up: an event of theirs takes it to the dead letters.

Nothing in a state machine runs after its own timeout, after it was stopped, or after an error that no
``Catch`` catches. Standard workflows tell of each end on the account's default bus; Express ones tell nobody.
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

from collections.abc import Iterator

from aws_cdk import Annotations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.queues import facts_of

from .machine.ending import GIVEN_UP, UNCAUGHT

__all__ = ["keep_what_ended"]

_EVENTS = "events.amazonaws.com"
_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html"


def keep_what_ended(
    scope: Construct, *, machine_arn: str, dead_letter_queue: sqs.IQueue, dead_letter_queue_arn: str
) -> events.CfnRule:
    """Make the rule, and let it send.

    The event is kept as it is: a transformer would fail on a member that an end of this kind has not. The
    starter knows it by its machine, so it can be sent to the work queue again like any other dead letter.

    :param dead_letter_queue: where the event goes
    """
    rule = events.CfnRule(
        scope,
        "Ended",
        event_pattern={
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {
                "stateMachineArn": [machine_arn],
                "$or": [
                    {"status": ["TIMED_OUT", "ABORTED"]},
                    {
                        "status": ["FAILED"],
                        "error": list(UNCAUGHT),
                        # caught, it is a dead letter already: two would be worked on twice
                        "cause": [{"anything-but": {"suffix": GIVEN_UP}}, {"exists": False}],
                    },
                ],
            },
        },
        targets=[
            {"id": "DeadLetters", "arn": dead_letter_queue_arn},
        ],
    )
    sender = iam.ServicePrincipal(_EVENTS, conditions={"ArnEquals": {"aws:SourceArn": rule.attr_arn}})
    dead_letter_queue.grant(sender, "sqs:SendMessage")
    key = facts_of(dead_letter_queue).key
    if key is not None:
        # the rule's own ARN would be a circle where the key's stack is another one
        key.grant(iam.ServicePrincipal(_EVENTS), "kms:Decrypt", "kms:GenerateDataKey")
    for missing in _missing(dead_letter_queue, key):
        Annotations.of(scope).add_warning_v2(
            "resilient:BreakerWorkflow/ended",
            f"{missing}, or executions that run out of time or fail past every Catch leave no dead letter"
            f" ({_PAGE})",
        )
    return rule


def _missing(queue: sqs.IQueue, key: kms.IKey | None) -> Iterator[str]:
    """What could not be allowed from here."""
    # Grant.success does not tell: it is true for a statement that found no policy to stand in
    if not isinstance(queue, sqs.Queue):
        yield (
            "dead_letter_queue is imported, so 0 of 1 statements could be added to its policy. Allow"
            f" {_EVENTS} sqs:SendMessage where aws:SourceArn is this workflow's rule's ARN"
        )
    if facts_of(queue).encryption is sqs.QueueEncryption.KMS_MANAGED:
        yield (
            "dead_letter_queue has the AWS-managed key alias/aws/sqs, whose policy lets EventBridge in never."
            " Give it SQS_MANAGED, or KMS with a customer key"
        )
    if key is not None and not isinstance(key, kms.Key):
        yield (
            "the key of dead_letter_queue is imported, so 0 of 1 statements could be added to its policy."
            f" Allow {_EVENTS} kms:Decrypt and kms:GenerateDataKey"
        )
