"""The states that call: the work, once for each way on from it, and the fallback."""

from __future__ import annotations

from typing import Any

from .failures import counts, rule_of
from .jsonata import expression, literal
from .plan import MachinePlan, WorkTask

__all__ = ["CAUGHT_BY_NAME", "call_state", "fallback_state", "is_watched_always", "platform_retry"]

# States.ALL does not catch it.
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
CAUGHT_BY_NAME = "States.DataLimitExceeded"

LONGEST_CAUSE = 2_000
"""Characters. A cause may hold what was called with; whoever reads it needs its beginning."""

_TOOK = "($millis() - $toMillis($states.context.State.EnteredTime)) / 1000"


def is_watched_always(plan: MachinePlan) -> bool:
    """Whether a success has to be looked at even while nothing fails."""
    slow = plan.policy is not None and plan.policy.slow_call_seconds is not None
    return slow or plan.work.error_of_result is not None


def call_state(plan: MachinePlan, comment: str, *, is_last: bool) -> dict[str, Any]:
    """The call.

    :param is_last: whether its success ends the execution, with no look at it
    """
    work = plan.work
    output = expression("$states.result") if work.output is None else work.output
    state = {"Comment": comment, **_task(work)}
    failed = {
        "Assign": {"call": expression(_failure(plan)), "told": "no"},
        "Output": {},
        "Next": "Outcome",
    }
    state["Catch"] = [
        {"ErrorEquals": [CAUGHT_BY_NAME], **failed},
        {"ErrorEquals": ["States.ALL"], **failed},
    ]
    if is_last:
        return {**state, "Output": output, "End": True}
    # Not as the state's output: that would have to be handed from state to state, and shows in each of them.
    return {
        **state,
        "Assign": {"call": expression(_ended(plan)), "result": output, "told": "no"},
        "Output": {},
        "Next": "Outcome",
    }


def fallback_state(task: WorkTask) -> dict[str, Any]:
    """What is done in the work's stead; where it fails too, the work is dead-lettered for its own failure."""
    remark = """$merge([$call, {
        'cause': $call.cause & ' (the fallback failed, too: ' & $states.errorOutput.Error & ')'
    }])"""
    failed = {
        "Assign": {"call": expression(remark)},
        "Output": {},
        "Next": "DeadLetter",
    }
    return {
        "Comment": "The work was given up; this is done in its stead.",
        **_task(task),
        "Output": expression("$states.result") if task.output is None else task.output,
        "Catch": [
            {"ErrorEquals": [CAUGHT_BY_NAME], **failed},
            {"ErrorEquals": ["States.ALL"], **failed},
        ],
        "End": True,
    }


def platform_retry(task: WorkTask) -> list[dict[str, Any]]:
    """The native retriers: of a plan that was checked there is one at least."""
    return [
        {
            "ErrorEquals": list(retry.errors),
            "IntervalSeconds": retry.interval_seconds,
            "MaxAttempts": retry.attempts,
            "BackoffRate": retry.backoff_rate,
            "MaxDelaySeconds": retry.longest_seconds,
            "JitterStrategy": "FULL",
        }
        for retry in task.platform_retries
    ]


def _task(task: WorkTask) -> dict[str, Any]:
    state: dict[str, Any] = {
        "Type": "Task",
        "Resource": task.resource,
        "Arguments": task.arguments,
        "TimeoutSeconds": task.timeout_seconds,
        "Retry": platform_retry(task),
    }
    if task.heartbeat_seconds is not None:
        state["HeartbeatSeconds"] = task.heartbeat_seconds
    if task.credentials is not None:
        state["Credentials"] = dict(task.credentials)
    return state


def _failure(plan: MachinePlan) -> str:
    cause = "$states.errorOutput.Cause"
    return _call(
        plan,
        "$states.errorOutput.Error",
        f"$exists({cause}) ? {cause} : ''",
    )


def _ended(plan: MachinePlan) -> str:
    if plan.work.error_of_result is None:
        return _call(plan, "''", "''")
    text = f"$exists({plan.work.error_of_result}) ? $string({plan.work.error_of_result}) : ''"
    return _call(plan, text, "$string($states.result)")


def _call(plan: MachinePlan, error: str, cause: str) -> str:
    slow = plan.policy.slow_call_seconds if plan.policy else None
    meaning = plan.work.meaning
    return f"""(
        $took := {_TOOK};
        $name := {error};
        $why := {cause};
        {"" if meaning is None else f"$meaning := $name = '' ? '' : {meaning};"}
        {{
            'error': $name,
            'cause': $substring($why, 0, {LONGEST_CAUSE}),
            'took': $took,
            'is_slow': {"false" if slow is None else f"$name = '' and $took >= {literal(slow)}"},
            'counts': $name = '' or {counts(plan, "$name")},
            'rule': $name = '' ? -1 : {rule_of(plan, "$name")}
        }}
    )"""
