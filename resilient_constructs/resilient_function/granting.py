"""What a function's role may do besides writing its log: what the runtime calls, on what it uses."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.buckets import let_get
from resilient_constructs.queues import facts_of

__all__ = ["CLAIMS_PREFIX", "grant_sending", "let_read_claims", "let_update_itself"]

CLAIMS_PREFIX = "work/"
"""Below it lie inputs that are too large for Step Functions, see ``resilient_runtime/stores/claims.py``."""


def grant_sending(queue: sqs.IQueue, grantee: iam.IGrantable) -> None:
    """Allow sending to a queue and the use of its customer key for it."""
    # grant_send_messages would also let it read the queue's attributes, which the entry point never does.
    queue.grant(grantee, "sqs:SendMessage")
    key = facts_of(queue).key
    if key is not None:
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")


def let_update_itself(scope: Construct, role: iam.IRole, function: lambda_.Function) -> None:
    """Allow a function to change its own configuration, and no other function's.

    A policy of its own beside the role's: the function stands after its role and the role's policies, so a
    policy among those that names the function would be a circle, which CloudFormation refuses. No
    ``iam:PassRole``: that is asked of a request that names a role, and this one names variables alone
    (https://github.com/aws/chalice/issues/479).

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_lambda.html
    """
    iam.Policy(
        scope,
        "OwnFunctionPolicy",
        roles=[role],
        statements=[
            iam.PolicyStatement(
                # read before written: an update replaces all variables
                actions=["lambda:GetFunctionConfiguration", "lambda:UpdateFunctionConfiguration"],
                resources=[function.function_arn],
            )
        ],
    )


def let_read_claims(grantee: iam.IGrantable, bucket: s3.IBucket) -> iam.Grant:
    """Allow reading inputs of workflows that were too large for Step Functions, with the bucket's key."""
    return let_get(grantee, bucket, CLAIMS_PREFIX)
