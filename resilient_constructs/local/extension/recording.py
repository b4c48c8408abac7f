"""Every AWS call as one JSON line: those from outside, and those that services make among themselves.

AWS: CloudTrail. ministack 1.5.33: records neither the decision nor calls from inside.
Each line is a ``resilient_constructs.local.recorder.Call``. A call that AWS makes in the name of a
service or of a function's role is written down with that principal, although the emulator makes it without
asking IAM, so that the policies can be evaluated afterwards.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, lambda_svc, secretsmanager, sqs, ssm

__all__ = ["close", "record_key_use", "record_service", "record_use"]

# What a caller needs of the customer key that a queue is encrypted with.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
_USES_OF_A_QUEUES_KEY = {
    "sqs:SendMessage": ("kms:GenerateDataKey", "kms:Decrypt"),
    "sqs:ReceiveMessage": ("kms:Decrypt",),
}
_lock = threading.Lock()
_file: int | None = None


def close() -> None:
    """Put it in place."""
    global _file
    path = os.environ.get("RESILIENT_CALLS")
    if not path:
        return
    _file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _record_calls_from_outside()
    _record_pollers()
    _record_function_logs()
    _record_rule_invocations()


def record_service(principal: str, action: str, resource: str, *, source: str, allowed: bool = True) -> None:
    """Record a call that a service makes in its own name, because of the resource ``source``."""
    context = {"aws:SourceArn": source, "aws:SourceAccount": get_account_id()}
    _write(principal, action, resource, allowed, context)


def record_use(role: str, action: str, resource: str) -> None:
    """Record a call that a service makes with the rights of a function's role."""
    _write(role, action, resource, True, {})


def record_key_use(
    principal: str, queue_arn: str, actions: Iterable[str], *, source: str | None = None
) -> None:
    """Record the use of the customer key that a queue is encrypted with; nothing where it has none."""
    queue = sqs._queue_by_arn(queue_arn)
    key = (queue or {}).get("attributes", {}).get("KmsMasterKeyId")
    if not key or key == "alias/aws/sqs":
        return
    context = {"aws:SourceArn": source, "aws:SourceAccount": get_account_id()} if source else {}
    for action in actions:
        _write(principal, action, _key_arn(key, queue_arn), True, context)


def _record_decryption(principal: str, action: str, arn: str) -> None:
    """Record that the caller's right to decrypt is used for a value under a customer key."""
    key_of, context = _KEYS_OF_VALUES[action]
    key = key_of(arn)
    if key and not key.startswith("alias/aws/"):
        _write(principal, "kms:Decrypt", _key_arn(key, arn), True, {context: arn})


def _key_of_secret(arn: str) -> str | None:
    return next((one.get("KmsKeyId") for one in secretsmanager._secrets.values() if one["ARN"] == arn), None)


def _key_of_parameter(arn: str) -> str | None:
    name = arn.partition(":parameter/")[2]
    parameter = ssm._parameters.get(f"/{name}") or ssm._parameters.get(name) or {}
    return parameter.get("KeyId") if parameter.get("Type") == "SecureString" else None


# Both services decrypt with the caller's rights, in a context that names the value.
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
# https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
_KEYS_OF_VALUES: dict[str, tuple[Callable[[str], str | None], str]] = {
    "secretsmanager:GetSecretValue": (_key_of_secret, "kms:EncryptionContext:SecretARN"),
    "ssm:GetParameters": (_key_of_parameter, "kms:EncryptionContext:PARAMETER_ARN"),
}


def _key_arn(key: str, queue_arn: str) -> str:
    if key.startswith("arn:"):
        return key
    _, _, _, region, account, _ = queue_arn.split(":", 5)
    return f"arn:aws:kms:{region}:{account}:{key if key.startswith('alias/') else f'key/{key}'}"


def _write(principal: str, action: str, resource: str, allowed: bool, context: dict[str, Any]) -> None:
    if _file is None:
        return
    line = {
        "principal": principal,
        "action": action,
        "resource": resource,
        "allowed": allowed,
        "context": context,
        "at": time.time(),
    }
    # One write per line on a descriptor that appends: readers never see half of one.
    with _lock:
        os.write(_file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


# AWS: SQS has no actions for batches, the single one allows both; ministack 1.5.33 asks for a batch's own.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
_ALLOWED_BY = {
    f"sqs:{name}Batch": f"sqs:{name}" for name in ("ChangeMessageVisibility", "DeleteMessage", "SendMessage")
}


def _record_calls_from_outside() -> None:
    enforce = iam_evaluator.enforce

    def recorded(
        access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **options: Any
    ) -> Any:
        action = _ALLOWED_BY.get(action, action)
        denied = enforce(access_key, action, service, region, resource_arn=resource_arn, **options)
        caller = iam_evaluator.resolve_caller_identity(access_key)
        principal = caller["userArn"] if caller else "anonymous"
        known = options.get("service_context") or {}  # what conditions may ask for, s3:prefix for example
        context = {key: value for key, value in known.items() if isinstance(value, str)}
        _write(principal, action, resource_arn, denied is None, context)
        if denied is None and action in _USES_OF_A_QUEUES_KEY:
            record_key_use(principal, resource_arn, _USES_OF_A_QUEUES_KEY[action])
        if denied is None and action in _KEYS_OF_VALUES:
            _record_decryption(principal, action, resource_arn)
        return denied

    iam_evaluator.enforce = recorded


def _record_pollers() -> None:
    """What Lambda's poller does with the function's role: receive, delete, look at the queue."""
    receive, delete = sqs._receive_messages_for_esm, sqs._delete_messages_for_esm

    def receive_recorded(queue_url: str, limit: int) -> Any:
        batch = receive(queue_url, limit)
        if batch:
            _poller(queue_url, ("sqs:ReceiveMessage", "sqs:GetQueueAttributes"))
        return batch

    def delete_recorded(queue_url: str, handles: set[str]) -> None:
        delete(queue_url, handles)
        _poller(queue_url, ("sqs:DeleteMessage",))

    sqs._receive_messages_for_esm = receive_recorded
    sqs._delete_messages_for_esm = delete_recorded


def _poller(queue_url: str, actions: Iterable[str]) -> None:
    arn = sqs._get_q(queue_url)["attributes"]["QueueArn"]
    for _, _, mapping in lambda_svc._iter_all_esms():
        if mapping.get("EventSourceArn") != arn:
            continue
        function = lambda_svc._functions.get(mapping["FunctionName"])
        if function is None:
            continue
        role = function["config"]["Role"]
        for action in actions:
            _write(role, action, arn, True, {})
        if "sqs:ReceiveMessage" in actions:
            record_key_use(role, arn, ("kms:Decrypt",))


def _record_function_logs() -> None:
    """What Lambda does with the function's role after an invocation: write its log, send its trace."""
    emit = lambda_svc._emit_lambda_logs

    def emit_recorded(function: dict[str, Any], *arguments: Any, **options: Any) -> None:
        emit(function, *arguments, **options)
        config = function.get("config") or function
        region, account = config["FunctionArn"].split(":")[3:5]
        name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        group = f"arn:aws:logs:{region}:{account}:log-group:{name}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            _write(config["Role"], action, f"{group}:log-stream:stream", True, {})
        if (config.get("TracingConfig") or {}).get("Mode") == "Active":
            for action in ("xray:PutTraceSegments", "xray:PutTelemetryRecords"):
                _write(config["Role"], action, "*", True, {})

    lambda_svc._emit_lambda_logs = emit_recorded


def _record_rule_invocations() -> None:
    """EventBridge invokes a function in its own name; the function's resource policy allows it."""
    invoke = eventbridge._invoke_target

    def invoke_recorded(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        if ":lambda:" in target.get("Arn", ""):
            record_service("events.amazonaws.com", "lambda:InvokeFunction", target["Arn"], source=rule["Arn"])
        invoke(target, event, rule, view)

    eventbridge._invoke_target = invoke_recorded
