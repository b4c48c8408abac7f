"""The tasks that read and write the circuit. The table's outage is never ours: each goes on without it.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-ddb.html
"""

from __future__ import annotations

from typing import Any

from .changes import ATTRIBUTE_NAMES
from .jsonata import expression
from .plan import MachinePlan

__all__ = ["change_task", "count_task", "read_task"]

LOST = "DynamoDB.ConditionalCheckFailedException"

_TIMEOUT_SECONDS = 3
# Refused before anything was done, so that to try again cannot count twice. Whatever else goes wrong is not
# tried again: a count whose answer got lost may have been made, and calls pass meanwhile.
_REFUSALS = [
    "DynamoDB.ProvisionedThroughputExceededException",
    "DynamoDB.RequestLimitExceeded",
    "DynamoDB.RequestLimitExceededException",
    "DynamoDB.ThrottlingException",
]
_RETRY = {
    "ErrorEquals": _REFUSALS,
    "IntervalSeconds": 1,
    "MaxAttempts": 2,
    "BackoffRate": 2,
    "MaxDelaySeconds": 2,
    "JitterStrategy": "FULL",
}


def read_task(
    plan: MachinePlan, comment: str, *, consistent: bool, assign: dict[str, Any], otherwise: dict[str, Any]
) -> dict[str, Any]:
    """GetItem.

    :param otherwise: what is assigned when it does not answer; it goes to BreakerUnreachable
    """
    return {
        "Comment": comment,
        **_task(plan, "getItem", {"ConsistentRead": consistent}),
        "Assign": assign,
        "Output": {},
        "Catch": [_catch(["States.ALL"], "BreakerUnreachable", otherwise)],
    }


def count_task(plan: MachinePlan, comment: str, *, assign: dict[str, Any]) -> dict[str, Any]:
    """The UpdateItem that counts."""
    arguments = {
        "UpdateExpression": expression("$count_.update"),
        "ExpressionAttributeNames": {"#transition": "transition"},
        "ExpressionAttributeValues": expression("$count_.values"),
        "ReturnValues": "ALL_NEW",
    }
    return {
        "Comment": comment,
        **_task(plan, "updateItem", arguments),
        "Assign": assign,
        "Output": {},
        "Next": "Outcome",
    }


def change_task(
    plan: MachinePlan,
    comment: str,
    *,
    assign: dict[str, Any],
    then: str,
    lost: tuple[str, dict[str, Any]],
    refused: tuple[str, dict[str, Any]],
) -> dict[str, Any]:
    """The UpdateItem that changes the state, on the condition of the version that it was decided from.

    :param lost: where to go, and what to assign, when somebody else was quicker
    :param refused: the same for when the table does not answer
    """
    arguments = {
        "UpdateExpression": expression("$change.update"),
        "ConditionExpression": expression("$change.condition"),
        "ExpressionAttributeNames": ATTRIBUTE_NAMES,
        "ExpressionAttributeValues": expression("$change.values"),
        "ReturnValues": "ALL_NEW",
    }
    return {
        "Comment": comment,
        **_task(plan, "updateItem", arguments),
        "Assign": assign,
        "Output": {},
        "Catch": [_catch([LOST], *lost), _catch(["States.ALL"], *refused)],
        "Next": then,
    }


def _task(plan: MachinePlan, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:{plan.partition}:states:::dynamodb:{action}",
        "Arguments": {"TableName": plan.table, "Key": {"name": {"S": plan.downstream}}, **arguments},
        "TimeoutSeconds": _TIMEOUT_SECONDS,
        "Retry": [_RETRY],
    }


def _catch(errors: list[str], then: str, assign: dict[str, Any]) -> dict[str, Any]:
    return {"ErrorEquals": errors, "Assign": assign, "Output": {}, "Next": then}
