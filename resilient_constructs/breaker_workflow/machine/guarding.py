"""The states around a guarded call: what is known of the circuit, whether it may be called, and who is told.

**Outcome** looks at how a call ended and does one thing after the other until nothing is left: open the
circuit, bring a probe's result home, count the call. Then the work is Done, or **NextTry** decides.
"""

from __future__ import annotations

from typing import Any

from resilient_runtime.breaker.policy import BreakerPolicy

from . import changes
from .choosing import choice, rule
from .failures import LONGEST_REASON
from .jsonata import expression, literal
from .knowledge import UNKNOWN, seen
from .plan import MachinePlan
from .store_tasks import change_task, count_task, read_task

__all__ = ["FIRST", "NO_LEASE", "guard"]

_TRIES = 4
"""How often a change is decided anew after somebody else was quicker; as in ``Breaker``."""

# Two expressions name it, and $millis() of each is a time of its own: the lease would not be known again.
_LEASE = "($states.context.Execution.Id & '@' & $states.context.State.EnteredTime)"

NO_LEASE = "none"
"""``$lease`` of a call that is no probe. Not an empty text: asl-validator takes none for a variable."""

_NO_MARK = expression(literal(changes.NO_MARK))

FIRST: dict[str, Any] = {
    "mark": _NO_MARK,
    "lease": NO_LEASE,
    "told": "no",
    "failing": False,
    "reachable": True,
    "opened": False,
    "lost": 0,
}
"""The variables that these states need, as they are at first."""


def guard(
    plan: MachinePlan, policy: BreakerPolicy, beginning: dict[str, Any], *, call: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states before the call, and those after it.

    :param beginning: what else the first state assigns
    :param call: the state that calls while nothing fails
    """
    before = {
        "Read": read_task(
            plan,
            "What all callers of the downstream know of it.",
            consistent=False,
            assign={**beginning, "seen": _seen_after_reading(policy)},
            otherwise={**beginning, "seen": expression(literal(UNKNOWN))},
        )
        | {"Next": "Decide"},
        "Decide": _decide(plan, policy, call),
    }
    after = {
        "Outcome": _outcome(policy),
        "ReadAgain": _read_again(plan, policy, "Decide"),
        "BreakerUnreachable": {
            "Comment": "The table's outage is not ours: called as if there were no breaker.",
            "Type": "Pass",
            "Assign": {"reachable": False, "failing": False, "mark": _NO_MARK},
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
    }
    return before, after


def _seen_after_reading(policy: BreakerPolicy, unless: str = "false") -> str:
    item = "($exists($states.result.Item) ? $states.result.Item : {})"
    return expression(seen(item, policy, typical_seconds=literal(policy.cache_seconds), unless=unless))


def _seen_after_writing(policy: BreakerPolicy) -> str:
    return expression(
        seen("$states.result.Attributes", policy, typical_seconds=literal(policy.cache_seconds))
    )


def _read_again(plan: MachinePlan, policy: BreakerPolicy, then: str) -> dict[str, Any]:
    """Consistent, so that it is never older than what is known here.

    After a change that somebody else was quicker with, the window is not judged anew: as the runtime does,
    which gets the item with the refusal.
    """
    same = """$exists($states.result.Item)
        and ($exists($states.result.Item.state) ? $states.result.Item.state.S : 'CLOSED') = $seen.state
        and ($exists($states.result.Item.closed_at) ? $number($states.result.Item.closed_at.N) : 0)
            = $seen.closed_at"""
    return read_task(
        plan,
        "What all callers know of it by now.",
        consistent=True,
        assign={
            "seen": _seen_after_reading(policy, unless="$lost > 0 or $opened"),
            "reachable": True,
            "failing": expression(f"$failing and {same}"),
            "mark": expression(f"{same} ? $mark : {literal(changes.NO_MARK)}"),
        },
        otherwise={},
    ) | {"Next": then}


def _decide(plan: MachinePlan, policy: BreakerPolicy, call: str) -> dict[str, Any]:
    closed = "$seen.state = 'CLOSED'"
    lease_seconds = min(policy.lease_seconds, plan.work.timeout_seconds)
    return choice(
        "May it be called?",
        [
            rule(f"{closed} and ($seen.mood = 'CALM' or $not($reachable)) or $seen.state = 'DISABLED'", call),
            rule(
                f"{closed} and $seen.mood = 'DOWN'",
                "OpenBefore",
                {"change": expression(changes.opening(policy)), "opened": True},
            ),
            rule(f"{closed} and $failing and $seen.mood = 'SUSPECT' and $seen.wait > 0", "HoldBack"),
            rule(closed, "CallAndTell"),
            rule(
                """$not($reachable) and ($seen.state = 'HALF_OPEN'
                    or $seen.state = 'OPEN' and $millis() / 1000 >= $seen.retry_at)""",
                call,
            ),
            rule(
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


def _outcome(policy: BreakerPolicy) -> dict[str, Any]:
    began = "($millis() / 1000 - $call.took)"
    held = f"$lease != 'none' and $lost < {_TRIES + policy.probes} and {changes.is_held('$lease')}"
    reason = f"""('a probe ' & ($call.error = ''
        ? 'took ' & $formatNumber($call.took, '0.000') & ' s'
        : 'failed: ' & $substring($call.error, 0, {LONGEST_REASON - len("a probe failed: ")})))"""
    concluded = f"""$call.counts = false ? {changes.releasing(policy, "$lease")}
        : $call.error = '' and $not($call.is_slow) ? {changes.closing_or_counting_success(policy, "$lease")}
        : {changes.failing(policy, reason)}"""
    counts = f"""$told = 'no' and $lease = 'none' and $reachable and $seen.state = 'CLOSED' and $call.counts
        and {began} >= $seen.closed_at
        and ($call.error != '' or $call.is_slow or $seen.mood != 'CALM' and {began} >= $seen.since)"""
    return choice(
        "How did it end, and who has to know?",
        [
            rule(
                "$told = 'yes' and $seen.state = 'CLOSED' and $seen.mood = 'DOWN' and $not($opened)",
                "Open",
                {"change": expression(changes.opening(policy)), "opened": True},
            ),
            rule(held, "Conclude", {"change": expression(concluded)}),
            rule(counts, "Count", {"count_": expression(changes.counting(policy))}),
            rule("$call.error = ''", "Done"),
        ],
        "NextTry",
    )


def _count(plan: MachinePlan, policy: BreakerPolicy) -> dict[str, Any]:
    cache = literal(policy.cache_seconds)
    typical = f"($call.error = '' and $not($call.is_slow) ? $call.took : {cache})"
    after = seen("$states.result.Attributes", policy, typical_seconds=typical)
    kept = """($exists($states.result.Attributes.state)
            ? $states.result.Attributes.state.S : 'CLOSED') = $seen.state
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
    forgotten = {"told": "refused", "failing": False, "mark": _NO_MARK}
    catch = {"ErrorEquals": ["States.ALL"], "Assign": forgotten, "Output": {}, "Next": "Outcome"}
    return {**task, "Catch": [catch]}


def _open(plan: MachinePlan, policy: BreakerPolicy, *, before: bool) -> dict[str, Any]:
    after = {"seen": _seen_after_writing(policy), "failing": False, "mark": _NO_MARK}
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
        assign={"seen": _seen_after_writing(policy), "mark": _NO_MARK, "failing": False},
        then="Outcome",
        lost=("ReadToConclude", {"lost": expression("$lost + 1")}),
        # The lease runs out.
        refused=("Outcome", {"lost": 1_000}),
    )
