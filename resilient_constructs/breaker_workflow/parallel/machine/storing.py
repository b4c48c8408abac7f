"""What a batch leaves in S3.

https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

from typing import Any

from resilient_constructs.breaker_workflow.machine.jsonata import expression, literal

from .plan import BatchPlan

__all__ = ["PATIENCE", "caught", "put_task"]

# It asks AWS alone, not the downstream, and an answer that is lost may be asked for again.
PATIENCE = [
    {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 1,
        "MaxAttempts": 8,
        "BackoffRate": 2,
        "MaxDelaySeconds": 60,
        "JitterStrategy": "FULL",
    }
]
# States.ALL does not catch it.
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_CAUGHT_BY_NAME = "States.DataLimitExceeded"


def put_task(
    plan: BatchPlan,
    comment: str,
    *,
    key: str,
    body: Any,
    then: str,
    otherwise: tuple[str, dict[str, Any]],
    into: str,
) -> dict[str, Any]:
    """PutObject.

    :param key: an expression for what comes after the prefix
    :param body: an object: Step Functions writes it as JSON
    :param otherwise: where to go, and what to assign, when it cannot be stored
    :param into: the variable that says where it went; an item's is not the batch's, as no inner variable may
        have the name of an outer one.
        https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
    """
    where = f"{literal(plan.results_prefix)} & {key}"
    return {
        "Comment": comment,
        "Type": "Task",
        "Resource": f"arn:{plan.item.partition}:states:::aws-sdk:s3:putObject",
        "Arguments": {
            "Bucket": plan.results_bucket,
            "Key": expression(where),
            "Body": body,
            "ContentType": "application/json",
        },
        "TimeoutSeconds": 60,
        "Retry": PATIENCE,
        "Assign": {into: {"bucket": plan.results_bucket, "key": expression(where)}},
        "Output": {},
        "Catch": caught(*otherwise),
        "Next": then,
    }


def caught(then: str, assign: dict[str, Any]) -> list[dict[str, Any]]:
    """Catchers for whatever can be caught."""
    catcher = {"Assign": assign, "Output": {}, "Next": then}
    return [{"ErrorEquals": [_CAUGHT_BY_NAME], **catcher}, {"ErrorEquals": ["States.ALL"], **catcher}]
