"""Delivery of an event to a rule's target, when it fails.

AWS: EventBridge calls the queue as ``events.amazonaws.com`` with the rule as ``aws:SourceArn``. What it may
not do, and what does not exist, goes to the target's dead-letter queue at once; other failures are retried
first. Without a dead-letter queue the event is dropped.
ministack 1.5.33: ignores the queue's policy and the target's dead-letter queue.
Here: policy and dead-letter queue count for SQS targets. Nothing local fails in a way that would be retried.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, sqs

from . import recording

SERVICE = "events.amazonaws.com"
_delivery: contextvars.ContextVar[tuple[Mapping[str, Any], Mapping[str, Any]]] = contextvars.ContextVar(
    "delivery"
)


def close() -> None:
    """Put it in place."""
    invoke, to_queue = eventbridge._invoke_target, eventbridge._dispatch_to_sqs

    def invoke_target(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        token = _delivery.set((target, rule))
        try:
            invoke(target, event, rule, view)
        finally:
            _delivery.reset(token)

    def dispatch(spec: Any, payload: str, parameters: dict[str, Any] | None = None) -> None:
        target, rule = _delivery.get()
        refusal = _refusal(str(spec), rule["Arn"])
        if refusal is None:
            to_queue(spec, payload, parameters)
            return
        dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
        if dead_letters and _refusal(dead_letters, rule["Arn"]) is None:
            to_queue(parse_arn(dead_letters), payload, {})
            _explain(dead_letters, rule["Arn"], str(spec), *refusal)

    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_sqs = dispatch


def _refusal(queue: str, rule: str) -> tuple[str, str] | None:
    """Why the queue does not take the event, as EventBridge words it; None when it does."""
    if sqs._queue_by_arn(queue) is None:
        return "NO_RESOURCE", "The specified queue does not exist."
    allowed = bool(sqs.queue_policy_allows(queue, SERVICE, rule, get_account_id()))
    recording.record_service(SERVICE, "sqs:SendMessage", queue, source=rule, allowed=allowed)
    recording.record_key_use(SERVICE, queue, ("kms:GenerateDataKey", "kms:Decrypt"), source=rule)
    return None if allowed else ("NO_PERMISSIONS", f"Access to the resource {queue} is denied.")


def _explain(queue: str, rule: str, target: str, code: str, message: str) -> None:
    """Add the attributes that EventBridge gives a dead letter."""
    found = sqs._queue_by_arn(queue)
    reasons = {
        "RULE_ARN": rule,
        "TARGET_ARN": target,
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "RETRY_ATTEMPTS": "0",
    }
    found["messages"][-1]["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in reasons.items()
    }
