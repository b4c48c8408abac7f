"""What a state machine's tasks may do: what its role may.

AWS: every task is a call with the rights of the state machine's role.
ministack 1.5.33: calls go straight to the other service's functions, whatever the role may do.
Here: the role is asked before each call of a function, a table, a queue, a topic, a bus or a state machine,
and of an object. Other actions of the SDK are made without asking.
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, responses
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sfn

from .service_calls import ServiceCall, _session_key
from .workflow_running import CURRENT

__all__ = ["close", "require"]

# How AWS names a refusal, per service.
_ERRORS = {
    "lambda": "Lambda.AWSLambdaException",
    "dynamodb": "DynamoDB.AmazonDynamoDBException",
    "sqs": "SQS.AmazonSQSException",
    "sns": "SNS.AmazonSNSException",
    "events": "EventBridge.AmazonEventBridgeException",
    "states": "StepFunctions.AWSStepFunctionsException",
}


def close() -> None:
    """Put it in place."""
    invoke, call_back = sfn._invoke_resource, sfn._invoke_with_callback

    def invoke_allowed(resource: str, data: Any) -> Any:
        _ask(resource, data)
        return invoke(resource, data)

    def call_back_allowed(resource: str, data: Any, token: str, state: dict[str, Any]) -> Any:
        _ask(resource, data)
        return call_back(resource, data, token, state)

    sfn._invoke_resource = invoke_allowed
    sfn._invoke_with_callback = call_back_allowed


def require(
    action: str, resource: str, *, error: str | None = None, context: Mapping[str, str] | None = None
) -> None:
    """Go on when the role of the execution in progress may do this.

    :param error: what the task fails with. Default: the service's own
    :param context: the condition keys that the service sets
    :raises _ExecutionError: when it may not
    """
    run = CURRENT.get()
    if run is None or not app.AUTH:
        return
    denied = contextvars.copy_context().run(_denied, run.role, action, resource, dict(context or {}))
    if denied:
        service = action.partition(":")[0]
        raise sfn._ExecutionError(
            error or _ERRORS.get(service, "States.TaskFailed"),
            f"{run.role} is not authorized to perform: {action} on resource: {resource}",
        )


def _denied(role: str, action: str, resource: str, context: dict[str, str]) -> bool:
    service = action.partition(":")[0]
    region, account = get_region(), get_account_id()
    key = _session_key(
        ServiceCall(service=service, region=region, account=account, role=role, session="StepFunctions")
    )
    responses._request_account_id.set(account)
    iam_evaluator._anonymous.set(False)
    iam_evaluator._signed_request.set(None)
    iam_evaluator._verified_key.set(key)
    asked = iam_evaluator.enforce(
        key, action, service, region, resource_arn=resource, service_context=context
    )
    return asked is not None


def _ask(resource: str, data: Any) -> None:
    for action, arn in _needs(resource, data if isinstance(data, Mapping) else {}):
        require(action, arn)


def _needs(resource: str, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The actions and resources of one task, as far as they are known."""
    _, _, task = resource.partition(":states:::")
    # "dynamodb:getItem" and "aws-sdk:dynamodb:getItem" ask the same of the role.
    task = task.removeprefix("aws-sdk:").partition(".")[0]
    service, _, action = task.partition(":")
    called = f"{service}:{action[:1].upper()}{action[1:]}"
    if ":function:" in resource:
        return [("lambda:InvokeFunction", resource)]
    if task == "lambda:invoke":
        return [("lambda:InvokeFunction", _function_arn(str(data.get("FunctionName", ""))))]
    if service == "dynamodb" and "TableName" in data:
        return [(called, _arn("dynamodb", f"table/{data['TableName']}", str(data["TableName"])))]
    if service == "sqs" and "QueueUrl" in data:
        name = str(data["QueueUrl"]).rpartition("/")[2]
        return [(called, _arn("sqs", name))]
    if service == "sns" and data.get("TopicArn"):
        return [(called, str(data["TopicArn"]))]
    if task == "events:putEvents":
        buses = {str(one.get("EventBusName") or "default") for one in data.get("Entries") or ()}
        return [("events:PutEvents", _arn("events", f"event-bus/{bus}", bus)) for bus in sorted(buses)]
    if task == "s3:putObject":
        return [("s3:PutObject", f"arn:aws:s3:::{data.get('Bucket')}/{data.get('Key')}")]
    if task == "sfn:describeMapRun":
        return [("states:DescribeMapRun", str(data.get("MapRunArn")))]
    if task == "sfn:listExecutions":
        return [("states:ListExecutions", str(data.get("StateMachineArn")))]
    if task == "states:startExecution":
        return [("states:StartExecution", str(data.get("StateMachineArn") or data.get("stateMachineArn")))]
    return []


def _function_arn(reference: str) -> str:
    return reference if reference.startswith("arn:") else _arn("lambda", f"function:{reference}")


def _arn(service: str, resource: str, given: str = "") -> str:
    if given.startswith("arn:"):
        return given
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"
