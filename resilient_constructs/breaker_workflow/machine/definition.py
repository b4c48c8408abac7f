"""The state machine as Amazon States Language.

A call that goes well passes three states: **Read** the circuit, **Decide**, **Call**. Nothing is written. With
``slow_call_seconds`` or ``error_of_result`` its end is looked at, which is two more: Outcome and Done; without
a downstream there are two, Begin and Call.

The road not taken: one conditional write that fails while all is well would read and decide in one state. But
it takes a write unit of the one item that the whole fleet shares, 1,000 a second and partition, and shows an
error in every healthy execution.

**Outcome** looks at how a call ended and does one thing after the other until nothing is left: open the
circuit, bring a probe's result home, count the call. Then the work is Done, or **NextTry** decides.

What fails here counts as one environment's: an execution is to the window what a Lambda environment is.
"""

from __future__ import annotations

from typing import Any

from resilient_runtime.breaker.policy import BreakerPolicy

from . import changes
from .calling import call_state, is_watched_always
from .ending import first_of_giving_up, giving_up, parking
from .failures import longest_reason, waiting_seconds
from .faults import check
from .jsonata import expression, literal
from .knowledge import UNKNOWN, seen
from .plan import MachinePlan
from .store_tasks import change_task, count_task, read_task

__all__ = ["definition"]

_TRIES = 4
"""How often a change is decided anew after somebody else was quicker; as in ``Breaker``."""

_NO_CALL = {"error": "", "cause": "", "took": 0, "is_slow": False, "counts": False, "rule": -1}
_LEASE = "($states.context.Execution.Id & '@' & $string($millis() / 1000))"


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


def _without_breaker(plan: MachinePlan) -> dict[str, Any]:
    begin = {"Type": "Pass", "Assign": _beginning(plan), "Output": {}, "Next": "Call"}
    watched = is_watched_always(plan)
    done = _rule("$call.error = ''", "Done")
    return (
        {
            "Begin": {"Comment": "Its input, or what came with parked and dead-lettered work.", **begin},
            "Call": call_state(plan, "The work.", is_last=not watched),
            "Outcome": _choice("How did it end?", [done] if watched else [], "NextTry"),
            **({"Done": _done()} if watched else {}),
            "NextTry": _next_try(plan),
            **({"WaitToRetry": _wait_to_retry("Call")} if plan.retries else {}),
            **giving_up(plan),
        }
        if watched
        else {
            "Begin": {"Comment": "Its input, or what came with parked and dead-lettered work.", **begin},
            "Call": _going_to(call_state(plan, "The work.", is_last=True), "NextTry"),
            "NextTry": _next_try(plan),
            **({"WaitToRetry": _wait_to_retry("Call")} if plan.retries else {}),
            **giving_up(plan),
        }
    )


def _going_to(state: dict[str, Any], target: str) -> dict[str, Any]:
    return {**state, "Catch": [{**catcher, "Next": target} for catcher in state["Catch"]]}


def _with_breaker(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    calm = (
        {}
        if is_watched_always(plan)
        else {"Call": call_state(plan, "Nothing fails: the work.", is_last=True)}
    )
    return {
        "Read": read_task(
            plan,
            "What all callers of the downstream know of it.",
            consistent=False,
            assign={**_beginning(plan), "seen": _seen_after_reading(policy)},
            otherwise={**_beginning(plan), "seen": UNKNOWN},
        )
        | {"Next": "Decide"},
        "Decide": _decide(plan, policy, "Call" if calm else "CallAndTell"),
        **calm,
        "CallAndTell": call_state(plan, "The work, whose end others want to know.", is_last=False),
        "Outcome": _outcome(plan, policy),
        "Done": _done(),
        "NextTry": _next_try(plan),
        **({"WaitToRetry": _wait_to_retry("ReadAgain")} if plan.retries else {}),
        "ReadAgain": _read_again(plan, policy, "Decide"),
        "BreakerUnreachable": {
            "Comment": "The table's outage is not ours: called as if there were no breaker.",
            "Type": "Pass",
            "Assign": {"reachable": False, "failing": False, "mark": changes.NO_MARK},
            "Next": "Decide",
        },
        "HoldBack": {
            "Comment": "It has just failed here, and an opening is being decided: others are heard first.",
            "Type": "Wait",
            "Seconds": expression("$ceil($seen.wait)"),
            "Assign": {"lost": 0, "opened": False},
            "Next": "ReadAgain",
        },
        "OpenBefore": _open(plan, policy, before=True),
        "Claim": _claim(plan, policy),
        "Count": _count(plan, policy),
        "Open": _open(plan, policy, before=False),
        "Conclude": _conclude(plan, policy),
        "ReadToConclude": _read_again(plan, policy, "Outcome"),
        **parking(plan),
        **giving_up(plan),
    }


def _beginning(plan: MachinePlan) -> dict[str, Any]:
    """The variables, from the execution's input: the work's own, or an envelope, known by its key."""
    tries = literal([0] * len(plan.retries))
    variables = {
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
                    'first_started_at': $states.context.Execution.StartTime,
                    'attempts': 0,
                    'probes': 0
                }}, $given, {{
                    'tries': $exists($given.tries) and $count($given.tries) = {len(plan.retries)}
                        ? $given.tries : {tries},
                    'waits': 0,
                    'is_claimed': $exists($given.claim),
                    'claim': $exists($given.claim) ? {{'claim': $given.claim}} : {{}}
                }}])
            )"""
        ),
        "call": _NO_CALL,
        "hold": 0,
    }
    if plan.downstream is None:
        return variables
    return variables | {
        "mark": changes.NO_MARK,
        "lease": "",
        "told": "no",
        "failing": False,
        "reachable": True,
        "opened": False,
        "lost": 0,
    }


def _seen_after_reading(policy: BreakerPolicy) -> str:
    item = "($exists($states.result.Item) ? $states.result.Item : {})"
    return expression(seen(item, policy, typical_seconds=literal(policy.cache_seconds)))


def _seen_after_writing(policy: BreakerPolicy) -> str:
    return expression(
        seen("$states.result.Attributes", policy, typical_seconds=literal(policy.cache_seconds))
    )


def _read_again(plan: MachinePlan, policy: BreakerPolicy, then: str) -> dict[str, Any]:
    """Consistent, so that it is never older than what is known here."""
    same = """$exists($states.result.Item)
        and ($exists($states.result.Item.state) ? $states.result.Item.state.S : 'CLOSED') = $seen.state
        and ($exists($states.result.Item.closed_at) ? $number($states.result.Item.closed_at.N) : 0)
            = $seen.closed_at"""
    return read_task(
        plan,
        "What all callers know of it by now.",
        consistent=True,
        assign={
            "seen": _seen_after_reading(policy),
            "reachable": True,
            "failing": expression(f"$failing and {same}"),
            "mark": expression(f"{same} ? $mark : {literal(changes.NO_MARK)}"),
        },
        otherwise={},
    ) | {"Next": then}


def _decide(plan: MachinePlan, policy: BreakerPolicy, call: str) -> dict[str, Any]:
    closed = "$seen.state = 'CLOSED'"
    lease_seconds = min(policy.lease_seconds, plan.work.timeout_seconds)
    return _choice(
        "May it be called?",
        [
            _rule(
                f"{closed} and ($seen.mood = 'CALM' or $not($reachable)) or $seen.state = 'DISABLED'", call
            ),
            _rule(
                f"{closed} and $seen.mood = 'DOWN' and $not($opened)",
                "OpenBefore",
                {"change": expression(changes.opening(policy)), "opened": True},
            ),
            _rule(f"{closed} and $failing and $seen.mood = 'SUSPECT' and $seen.wait > 0", "HoldBack"),
            _rule(closed, "CallAndTell"),
            _rule(
                """$not($reachable) and ($seen.state = 'HALF_OPEN'
                    or $seen.state = 'OPEN' and $millis() / 1000 >= $seen.retry_at)""",
                call,
            ),
            _rule(
                f"$reachable and $lost < {_TRIES} and {changes.is_claimable(policy)}",
                "Claim",
                {
                    "change": expression(changes.claiming(policy, _LEASE, lease_seconds)),
                    "wanted": expression(_LEASE),
                },
            ),
        ],
        "Park",
    )


def _claim(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    return change_task(
        plan,
        "This execution would make a probe: the lease says so to all others.",
        assign={"seen": _seen_after_writing(policy), "lease": expression("$wanted"), "lost": 0},
        then="CallAndTell",
        lost=("ReadAgain", {"lost": expression("$lost + 1")}),
        refused=("BreakerUnreachable", {}),
    )


def _outcome(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    now, began = "$millis() / 1000", "($millis() / 1000 - $call.took)"
    held = f"$lease != '' and $lost < {_TRIES + policy.probes} and {changes.is_held('$lease')}"
    reason = f"""('a probe ' & ($call.error = ''
        ? 'took ' & $formatNumber($call.took, '0.000') & ' s'
        : 'failed: ' & $substring($call.error, 0, {longest_reason - len("a probe failed: ")})))"""
    concluded = f"""$call.counts = false ? {changes.releasing(policy, "$lease")}
        : $call.error = '' and $not($call.is_slow) ? {changes.closing_or_counting_success(policy, "$lease")}
        : {changes.failing(policy, reason)}"""
    counts = f"""$told = 'no' and $lease = '' and $reachable and $seen.state = 'CLOSED' and $call.counts
        and {began} >= $seen.closed_at
        and ($call.error != '' or $call.is_slow or $seen.mood != 'CALM' and {began} >= $seen.since)"""
    del now
    return _choice(
        "How did it end, and who has to know?",
        [
            _rule(
                "$told = 'yes' and $seen.state = 'CLOSED' and $seen.mood = 'DOWN' and $not($opened)",
                "Open",
                {"change": expression(changes.opening(policy)), "opened": True},
            ),
            _rule(held, "Conclude", {"change": expression(concluded)}),
            _rule(counts, "Count", {"count_": expression(changes.counting(policy))}),
            _rule("$call.error = ''", "Done"),
        ],
        "NextTry",
    )


def _count(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    cache = literal(policy.cache_seconds)
    typical = f"($call.error = '' and $not($call.is_slow) ? $call.took : {cache})"
    after = seen("$states.result.Attributes", policy, typical_seconds=typical)
    kept = """($exists($states.result.Attributes.state) ? $states.result.Attributes.state.S : 'CLOSED') = $seen.state
        and ($exists($states.result.Attributes.closed_at)
            ? $number($states.result.Attributes.closed_at.N) : 0) = $seen.closed_at"""
    task = count_task(
        plan,
        "Told to all callers, with what they told by now as the answer.",
        assign={
            "seen": expression(after),
            "told": "yes",
            "opened": False,
            "failing": expression(f"($call.error != '' or $call.is_slow) and {kept}"),
            "mark": expression(f"{kept} ? $count_.mark : {literal(changes.NO_MARK)}"),
        },
    )
    # It is not known whether it was counted. So the mark may stand where it stood or where it was to go.
    forgotten = {"told": "refused", "failing": False, "mark": changes.NO_MARK}
    catch = {"ErrorEquals": ["States.ALL"], "Assign": forgotten, "Output": {}, "Next": "Outcome"}
    return {**task, "Catch": [catch]}


def _open(plan: MachinePlan, policy: BreakerPolicy, *, before: bool) -> dict[str, Any]:
    after = {"seen": _seen_after_writing(policy), "failing": False, "mark": changes.NO_MARK}
    return change_task(
        plan,
        "The calls of all say that the downstream is down.",
        assign=after,
        then="Decide" if before else "Outcome",
        lost=("ReadAgain" if before else "ReadToConclude", {}),
        refused=("BreakerUnreachable" if before else "Outcome", {}),
    )


def _conclude(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    return change_task(
        plan,
        "A probe's result.",
        assign={"seen": _seen_after_writing(policy), "mark": changes.NO_MARK, "failing": False},
        then="Outcome",
        lost=("ReadToConclude", {"lost": expression("$lost + 1")}),
        # The lease runs out.
        refused=("Outcome", {"lost": 1_000}),
    )


def _next_try(plan: MachinePlan) -> dict[str, Any]:
    once_more = "'attempts': $job.attempts + 1"
    rules = []
    if plan.downstream is not None:
        rules.append(
            _rule(
                # The failure is the outage's, and not this work's: no attempt is used up for it.
                "$call.counts and $seen.state in ['OPEN', 'HALF_OPEN', 'FORCED_OPEN']",
                "Park",
                {
                    "job": expression(
                        f"$merge([$job, {{{once_more}, 'probes': $job.probes + ($lease = '' ? 0 : 1)}}])"
                    ),
                    "lease": "",
                },
            )
        )
    if plan.retries:
        most = literal([rule.attempts for rule in plan.retries])
        tries = "[$map($job.tries, function($n, $i) { $i = $call.rule ? $n + 1 : $n })]"
        rules.append(
            _rule(
                f"$call.rule >= 0 and $job.tries[$call.rule] < {most}[$call.rule]",
                "WaitToRetry",
                {
                    "job": expression(f"$merge([$job, {{{once_more}, 'tries': {tries}}}])"),
                    "seconds": expression(waiting_seconds(plan)),
                },
            )
        )
    counted = {"job": expression(f"$merge([$job, {{{once_more}}}])")}
    if not rules:
        return {
            "Comment": "No rule tries it again.",
            "Type": "Pass",
            "Assign": counted,
            "Next": first_of_giving_up(plan),
        }
    return _choice("Is it called again?", rules, first_of_giving_up(plan)) | {"Assign": counted}


def _wait_to_retry(then: str) -> dict[str, Any]:
    state = {
        "Comment": "Full jitter, so that those who failed together do not come back together.",
        "Type": "Wait",
        "Seconds": expression("$seconds"),
        "Next": then,
    }
    return state if then == "Call" else {**state, "Assign": {"lease": "", "lost": 0, "opened": False}}


def _done() -> dict[str, Any]:
    return {
        "Comment": "The work's own result.",
        "Type": "Succeed",
        "Output": expression("$result"),
    }


def _choice(comment: str, rules: list[dict[str, Any]], otherwise: str) -> dict[str, Any]:
    return {"Comment": comment, "Type": "Choice", "Choices": rules, "Default": otherwise}


def _rule(condition: str, then: str, assign: dict[str, Any] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"Condition": expression(condition), "Next": then}
    return {**rule, "Assign": assign} if assign else rule
