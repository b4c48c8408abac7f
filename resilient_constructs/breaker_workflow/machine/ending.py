"""Where work goes that is not done: parked for later, or to the dead-letter queue; nothing is dropped."""

from __future__ import annotations

from typing import Any

from .calling import CAUGHT_BY_NAME, fallback_state
from .choosing import rule
from .jsonata import expression, literal
from .plan import Constant, MachinePlan

__all__ = [
    "GIVEN_UP",
    "UNCAUGHT",
    "cause_of_giving_up",
    "failure",
    "first_of_giving_up",
    "giving_up",
    "parking",
]

UNCAUGHT = ("States.DataLimitExceeded", "States.QueryEvaluationError", "States.Runtime")
"""Errors that may end an execution past every Catch: a Choice, a Pass and a Wait have none.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
GIVEN_UP = " (given up)"
"""What the cause of such an error ends with where it was caught, and the work is a dead letter already."""

_SEND_SECONDS = 10
_MOST_WAITS = 2_000
"""How often one execution waits for an open circuit. Each time is eleven events of its history, which ends at
25,000; https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

_JITTER_SECONDS = 5
_LONGEST_LOOK_SECONDS = 900
_PARKED_SECONDS = 15
"""For which parked work stays away at most. Until its mapping is paused, and while probes decide, it would
otherwise be started, refused and parked again in a loop, at five transitions each.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html"""

_PARKED_TOO_LONG = """$call.error != '' ? $call : $merge([$call, {
    'error': 'Resilient.ParkedTooLong',
    'cause': 'kept since ' & $job.first_started_at & ', and the circuit is ' & $seen.state
}])"""


def parking(plan: MachinePlan) -> dict[str, dict[str, Any]]:
    """The states from Park on."""
    give_up = first_of_giving_up(plan)
    too_long = {
        "call": expression(_PARKED_TOO_LONG),
        "failure": expression(
            f"$merge([$sift({_PARKED_TOO_LONG}, {_IS_TOLD}), {{'attempts': $job.attempts}}])"
        ),
    }
    age = "$millis() - $toMillis($job.first_started_at)"
    choices = [
        rule(f"{age} > {plan.keep_parked_seconds} * 1000", give_up, too_long),
        rule(f"$job.probes >= {plan.most_failed_probes}", give_up, {"failure": failure("$job.attempts")}),
    ]
    if plan.parking == "WAIT":
        choices.insert(0, rule(f"$job.waits >= {_MOST_WAITS}", give_up, too_long))
    park = {
        "Comment": "The circuit is open: not failed, but kept for later.",
        "Type": "Choice",
        "Choices": choices,
        "Default": "SendToParked" if plan.parking == "QUEUE" else "WaitUntilRecovery",
    }
    if plan.parking == "QUEUE":
        return {"Park": park, "SendToParked": _send_to_parked(plan)}
    return {"Park": park, "WaitUntilRecovery": _wait_until_recovery()}


def giving_up(plan: MachinePlan) -> dict[str, dict[str, Any]]:
    """The states of giving up: a fallback if there is one, the dead-letter queue, and a failed execution."""
    if isinstance(plan.fallback, Constant):
        return {"Fallback": _constant(plan.fallback)}
    dead = {"DeadLetter": _dead_letter(plan), "Failed": _failed()}
    return dead if plan.fallback is None else {"Fallback": fallback_state(plan.fallback), **dead}


def cause_of_giving_up(failed: str) -> str:
    """The cause that an execution fails with which gave its work up.

    :param failed: the variable that has error and cause
    """
    return expression(f"{failed}.cause & ({failed}.error in {literal(list(UNCAUGHT))} ? '{GIVEN_UP}' : '')")


def failure(attempts: str) -> str:
    """The variable ``$failure``, which a fallback may use."""
    return expression(f"{{'error': $call.error, 'cause': $call.cause, 'attempts': {attempts}}}")


def first_of_giving_up(plan: MachinePlan) -> str:
    """The state that given up work goes to."""
    return "DeadLetter" if plan.fallback is None else "Fallback"


# Of a call, what a fallback is told.
_IS_TOLD = "function($_, $name) { $name in ['error', 'cause'] }"


def _send_to_parked(plan: MachinePlan) -> dict[str, Any]:
    return {
        "Comment": "Its mapping feeds the starter again when the circuit lets calls pass.",
        **_send(plan, plan.parked_queue_url, _envelope(), delay=_parked_delay()),
        "Output": {
            "outcome": "PARKED",
            "downstream": plan.downstream,
            "state": expression("$seen.state"),
            "retry_at": expression("$seen.retry_at"),
            "name": expression("$job.name"),
            "parked": expression("$job.parked + 1"),
        },
        "Catch": _caught(
            "Fallback" if isinstance(plan.fallback, Constant) else "DeadLetter", "it could not be parked: "
        ),
        "End": True,
    }


def _parked_delay() -> str:
    least = _PARKED_SECONDS // 3
    return expression(f"{least} + $floor({_PARKED_SECONDS - least + 1} * $random())")


def _envelope() -> dict[str, Any]:
    return {
        "resilient": expression(
            """$merge([{
                'name': $job.name,
                'key': $job.key,
                'parked': $job.parked + 1,
                'first_started_at': $job.first_started_at,
                'tries': $job.tries,
                'attempts': $job.attempts,
                'probes': $job.probes
            }, $job.claim])"""
        ),
        "input": expression("$job.is_claimed ? null : $work"),
    }


def _wait_until_recovery() -> dict[str, Any]:
    """Until it is due and some more, as all who wait would come at once; FORCED_OPEN: look now and then."""
    longest = literal(_LONGEST_LOOK_SECONDS)
    return {
        "Comment": "Until the circuit may let calls pass.",
        "Type": "Wait",
        "Seconds": expression(
            f"""(
                $jitter := $min([{longest}, {_JITTER_SECONDS} * $power(2, $min([$job.waits, 10]))]);
                $left := $seen.state = 'OPEN' ? $seen.retry_at - $millis() / 1000 : $jitter / 2;
                $ceil($max([$left, 0]) + $jitter * $random()) + 1
            )"""
        ),
        "Assign": {
            "job": expression("$merge([$job, {'waits': $job.waits + 1}])"),
            "lost": 0,
            "opened": False,
        },
        "Next": "ReadAgain",
    }


def _dead_letter(plan: MachinePlan) -> dict[str, Any]:
    """What a person needs to judge it, and the starter to begin it anew when it is sent back to the queue."""
    body = {
        "resilient": expression("$merge([{'name': $job.name, 'key': $job.key}, $job.claim])"),
        "input": expression("$job.is_claimed ? null : $work"),
        "error": expression("$call.error"),
        "cause": expression("$call.cause"),
        "execution": expression("$states.context.Execution.Id"),
        "state_machine": expression("$states.context.StateMachine.Id"),
        "attempts": expression("$job.attempts"),
        "first_started_at": expression("$job.first_started_at"),
    }
    return {
        "Comment": "Given up: kept with everything that a person needs, and can be sent back from there.",
        **_send(plan, plan.dead_letter_queue_url, body),
        "Output": {},
        "Catch": _caught("Failed", "it could not be dead-lettered, the execution's input has it: "),
        "Next": "Failed",
    }


def _failed() -> dict[str, Any]:
    return {
        "Comment": "FAILED, so that alarms see it.",
        "Type": "Fail",
        "Error": expression("$call.error"),
        "Cause": cause_of_giving_up("$call"),
    }


def _constant(fallback: Constant) -> dict[str, Any]:
    return {
        "Comment": "The work was given up; this is its result instead.",
        "Type": "Succeed",
        "Output": fallback.value,
    }


def _send(
    plan: MachinePlan, queue_url: str | None, body: dict[str, Any], delay: str | None = None
) -> dict[str, Any]:
    """SendMessage, tried for minutes: it is the last thing that stands between the work and its loss.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-sqs.html
    """
    is_express = plan.kind == "EXPRESS"
    later = {} if delay is None else {"DelaySeconds": delay}
    return {
        "Type": "Task",
        "Resource": f"arn:{plan.partition}:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": queue_url, "MessageBody": body, **later},
        "TimeoutSeconds": _SEND_SECONDS,
        "Retry": [
            {
                "ErrorEquals": ["States.ALL"],
                "IntervalSeconds": 1,
                # An Express execution ends after five minutes, whatever it is doing.
                "MaxAttempts": 5 if is_express else 12,
                "BackoffRate": 2,
                "MaxDelaySeconds": 10 if is_express else 120,
                "JitterStrategy": "FULL",
            }
        ],
    }


def _caught(then: str, prefix: str) -> list[dict[str, Any]]:
    """Keeps the work's own failure if there is one: that the queue failed too is a remark on it."""
    remarked = f"""(
        $remark := {literal(prefix)} & $states.errorOutput.Error;
        $merge([$call, $call.error = ''
            ? {{'error': 'Resilient.NotParked', 'cause': $remark}}
            : {{'cause': $call.cause & ' (' & $remark & ')'}}])
    )"""
    assign = {
        "call": expression(remarked),
        # a constant fallback that uses it would else fail where nothing catches
        "failure": expression(f"$merge([$sift({remarked}, {_IS_TOLD}), {{'attempts': $job.attempts}}])"),
    }
    return [
        {"ErrorEquals": [CAUGHT_BY_NAME], "Assign": assign, "Output": {}, "Next": then},
        {"ErrorEquals": ["States.ALL"], "Assign": assign, "Output": {}, "Next": then},
    ]
