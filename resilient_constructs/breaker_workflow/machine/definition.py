"""The state machine as Amazon States Language.

A call that goes well passes three states: **Read** the circuit, **Decide**, **Call**. Nothing is written.
With ``slow_call_seconds`` or ``error_of_result`` its end is looked at, which is two more: Outcome and Done.
Without a downstream there are two: Begin and Call.

The road not taken: one conditional write that fails while all is well would read and decide in one state. But
it takes a write unit of the one item that the whole fleet shares, 1,000 a second and partition, and shows an
error in every healthy execution.

What fails here counts as one environment's: an execution is to the window what a Lambda environment is.
"""

from __future__ import annotations

from typing import Any

from resilient_runtime.breaker.policy import BreakerPolicy

from .calling import call_state, is_watched_always
from .choosing import choice, rule
from .ending import failure, first_of_giving_up, giving_up, parking
from .failures import waiting_seconds
from .faults import check
from .guarding import FIRST, NO_LEASE, guard
from .jsonata import expression, literal
from .plan import MachinePlan

__all__ = ["definition", "transitions_of_success"]

_NO_CALL = {"error": "", "cause": "", "took": 0, "is_slow": False, "counts": False, "rule": -1}


def definition(plan: MachinePlan) -> dict[str, Any]:
    """The definition of a breaker workflow's state machine.

    :raises ValueError: when the plan has faults; all at once
    """
    check(plan)
    states = _with_breaker(plan, plan.policy) if plan.downstream and plan.policy else _without_breaker(plan)
    return {
        "Comment": plan.comment or f"Calls {plan.downstream or 'its work'} and drops nothing.",
        "QueryLanguage": "JSONata",
        "StartAt": next(iter(states)),
        "TimeoutSeconds": plan.timeout_seconds,
        "States": states,
    }


def transitions_of_success(plan: MachinePlan) -> int:
    """State transitions of an execution whose call goes well while nothing fails.

    Standard workflows cost 25 USD per million of them. https://aws.amazon.com/step-functions/pricing/
    """
    before = 2 if plan.downstream else 1
    return before + (3 if is_watched_always(plan) else 1)


def _without_breaker(plan: MachinePlan) -> dict[str, Any]:
    is_watched = is_watched_always(plan)
    call = call_state(plan, "The work.", is_last=not is_watched)
    done = [rule("$call.error = ''", "Done")]
    return {
        "Begin": {
            "Comment": "Its input, or what came with parked and dead-lettered work.",
            "Type": "Pass",
            "Assign": _beginning(plan),
            "Output": {},
            "Next": "Call",
        },
        "Call": call if is_watched else _going_to(call, "NextTry"),
        **({"Outcome": choice("How did it end?", done, "NextTry"), "Done": _done()} if is_watched else {}),
        "NextTry": _next_try(plan),
        **({"WaitToRetry": _wait_to_retry("Call")} if plan.retries else {}),
        **giving_up(plan),
    }


def _going_to(state: dict[str, Any], target: str) -> dict[str, Any]:
    return {**state, "Catch": [{**catcher, "Next": target} for catcher in state["Catch"]]}


def _with_breaker(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    calm = {}
    if not is_watched_always(plan):
        calm = {"Call": call_state(plan, "Nothing fails: the work.", is_last=True)}
    beginning = {**_beginning(plan), **FIRST}
    before, after = guard(plan, policy, beginning, call="Call" if calm else "CallAndTell")
    return {
        **before,
        **calm,
        "CallAndTell": call_state(plan, "The work, whose end others want to know.", is_last=False),
        **after,
        "Done": _done(),
        "NextTry": _next_try(plan),
        **({"WaitToRetry": _wait_to_retry("ReadAgain")} if plan.retries else {}),
        **parking(plan),
        **giving_up(plan),
    }


def _beginning(plan: MachinePlan) -> dict[str, Any]:
    """The variables, from the execution's input: the work's own, or an envelope, known by its key.

    It began with this state, and not with its execution, which an inline batch's items have in common.
    """
    tries = literal([0] * len(plan.retries))
    return {
        "work": expression(
            """(
                $given := $states.input;
                $type($given) = 'object' and $exists($given.resilient)
                    ? ($exists($given.resilient.claim)
                        ? {'resilient': {'claim': $given.resilient.claim}, 'input': null}
                        : $exists($given.input) ? $given.input : null)
                    : $given
            )"""
        ),
        "job": expression(
            f"""(
                $given := $type($states.input) = 'object' and $exists($states.input.resilient)
                    ? $states.input.resilient : {{}};
                $merge([{{
                    'name': $states.context.Execution.Name,
                    'parked': 0,
                    'first_started_at': $states.context.State.EnteredTime,
                    'attempts': 0,
                    'probes': 0
                }}, $given, {{
                    'key': $exists($given.key) ? $given.key : $exists($given.name)
                        ? $given.name : $states.context.Execution.Name,
                    'tries': $exists($given.tries) and $count($given.tries) = {len(plan.retries)}
                        ? $given.tries : {tries},
                    'waits': 0,
                    'is_claimed': $exists($given.claim),
                    'claim': $exists($given.claim) ? {{'claim': $given.claim}} : {{}}
                }}])
            )"""
        ),
        "call": expression(literal(_NO_CALL)),
        "failure": expression(literal({"error": "", "cause": "", "attempts": 0})),
    }


def _next_try(plan: MachinePlan) -> dict[str, Any]:
    once_more = "'attempts': $job.attempts + 1"
    rules = []
    if plan.downstream is not None:
        rules.append(
            rule(
                # The failure is the outage's, and not this work's: no attempt is used up for it.
                "$call.counts and $seen.state in ['OPEN', 'HALF_OPEN', 'FORCED_OPEN']",
                "Park",
                {
                    "job": expression(
                        f"$merge([$job, {{{once_more}, 'probes': $job.probes + ($lease = 'none' ? 0 : 1)}}])"
                    ),
                    "lease": NO_LEASE,
                },
            )
        )
    if plan.retries:
        most = literal([one.attempts for one in plan.retries])
        tries = "[$map($job.tries, function($n, $i) { $i = $call.rule ? $n + 1 : $n })]"
        rules.append(
            rule(
                f"$call.rule >= 0 and $job.tries[$call.rule] < {most}[$call.rule]",
                "WaitToRetry",
                {
                    "job": expression(f"$merge([$job, {{{once_more}, 'tries': {tries}}}])"),
                    "seconds": expression(waiting_seconds(plan)),
                },
            )
        )
    counted = {
        "job": expression(f"$merge([$job, {{{once_more}}}])"),
        "failure": failure("$job.attempts + 1"),
    }
    if not rules:
        return {
            "Comment": "No rule tries it again.",
            "Type": "Pass",
            "Assign": counted,
            "Next": first_of_giving_up(plan),
        }
    return choice("Is it called again?", rules, first_of_giving_up(plan)) | {"Assign": counted}


def _wait_to_retry(then: str) -> dict[str, Any]:
    state = {
        "Comment": "Full jitter, so that those who failed together do not come back together.",
        "Type": "Wait",
        "Seconds": expression("$seconds"),
        "Next": then,
    }
    return state if then == "Call" else {**state, "Assign": {"lease": NO_LEASE, "lost": 0, "opened": False}}


def _done() -> dict[str, Any]:
    return {
        "Comment": "The work's own result.",
        "Type": "Succeed",
        "Output": expression("$result"),
    }
