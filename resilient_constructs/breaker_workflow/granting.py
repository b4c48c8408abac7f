"""What the state machine's role may do, as plain statements: one request makes a policy of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

__all__ = ["ANSWERS", "document_of", "machine_statements", "send_statements"]

Statement = Mapping[str, Any]
ANSWERS = ("states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess")
"""Answering for a task by its token. https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html"""


def document_of(statements: Sequence[Statement]) -> iam.PolicyDocument:
    """The statements as a policy."""
    return iam.PolicyDocument.from_json({"Version": "2012-10-17", "Statement": list(statements)})


def send_statements(queue_arns: Sequence[str], keys: Sequence[kms.IKey]) -> list[Statement]:
    """Sending to these queues, and using their customer keys for it.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": list(queue_arns)}
    statements: list[Statement] = [send]
    if keys:
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": [key.key_arn for key in keys],
            }
        )
    return statements


def machine_statements(groups: Iterable[Sequence[Statement]], machine_arn: str) -> list[Statement]:
    """Statements about the state machine itself, with its ARN filled in."""
    return [{**statement, "Resource": machine_arn} for group in groups for statement in group]
