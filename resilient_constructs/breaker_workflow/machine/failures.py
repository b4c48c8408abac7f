"""What an error means: whether it counts against the downstream, and which rule tries the call again."""

from __future__ import annotations

from collections.abc import Iterable

from .jsonata import literal
from .plan import MachinePlan, WorkTask

__all__ = ["LONGEST_REASON", "counts", "rule_of", "waiting_seconds"]

LONGEST_REASON = 300
"""As in ``Breaker``: a circuit's reason is read by people."""

_NOT_THE_DOWNSTREAM = (
    # Ours, or whoever deployed it; a call that was not made or could not be told of says nothing.
    "ClaimNotRead",
    "States.DataLimitExceeded",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.Runtime",
)
_TIMEOUTS = ("States.Timeout", "States.HeartbeatTimeout")


def counts(plan: MachinePlan, error: str) -> str:
    """An expression: whether the error says that the downstream is not well. ``$meaning`` is the work's own.

    As ``breaker.errors.counts_by``, by names, as Step Functions knows no classes: a subclass of an ignored
    error counts unless it is named, too.
    """
    policy = plan.policy
    unrelated = {"Reject", *plan.rejects, *_NOT_THE_DOWNSTREAM, *_platform_errors(plan.work)}
    if policy is None:
        return "false"
    unrelated |= set(_short(policy.ignored_errors))
    if not policy.throttling_counts:
        unrelated |= set(plan.throttles)
    related = f"$not({error} in {literal(sorted(unrelated))})"
    if plan.work.meaning is not None:
        meant = ["no"] if policy.throttling_counts else ["no", "fewer"]
        related = f"$not($meaning in {literal(meant)}) and {related}"
    if policy.counted_errors:
        return f"({related} and {error} in {literal(sorted(_short(policy.counted_errors)))})"
    return related


def rule_of(plan: MachinePlan, error: str) -> str:
    """An expression: the number of the rule that tries the call again after this error; -1 for none.

    ``$meaning`` is the work's own.
    """
    never = {"Reject", *plan.rejects}
    ignored = set(_short(plan.policy.ignored_errors)) if plan.policy else set()
    # A wildcard means the work's errors: what is declared to be no failure is tried again by name only.
    by_name_only = sorted({*ignored, *_NOT_THE_DOWNSTREAM})
    chain = "-1"
    for number, rule in reversed(list(enumerate(plan.retries))):
        conditions = []
        if names := [name for name in rule.errors if name not in ("States.ALL", "States.TaskFailed")]:
            named = {*names, *(_TIMEOUTS if "States.Timeout" in names else ())}
            conditions.append(f"{error} in {literal(sorted(named))}")
        if "States.ALL" in rule.errors:
            conditions.append(f"$not({error} in {literal(by_name_only)})")
        elif "States.TaskFailed" in rule.errors:
            conditions.append(f"$not({error} in {literal([*by_name_only, *_TIMEOUTS])})")
        chain = f"{' or '.join(conditions)} ? {number} : {chain}"
    refused = f"{error} in {literal(sorted(never))}"
    if plan.work.meaning is not None:
        refused = f"$meaning = 'no' or {refused}"
    return f"({refused} ? -1 : {chain})"


def waiting_seconds(plan: MachinePlan) -> str:
    """An expression: how long to wait before ``$call.rule`` tries again, in whole seconds, with full jitter.

    While an opening is being decided, whoever failed last makes no call: as ``View`` holds back.
    """
    hold = "0"
    if plan.policy is not None:
        hold = f"""($failing and $seen.state = 'CLOSED' and $seen.mood = 'SUSPECT'
            ? ($seen.wait > 0 ? $seen.wait : {literal(plan.policy.cache_seconds)}) : 0)"""
    intervals = literal([rule.interval_seconds for rule in plan.retries])
    rates = literal([rule.backoff_rate for rule in plan.retries])
    longest = literal([rule.longest_seconds for rule in plan.retries])
    return f"""(
        $used := $job.tries[$call.rule];
        $grown := {intervals}[$call.rule] * $power({rates}[$call.rule], $min([$used, 64]));
        $cap := $min([{longest}[$call.rule], $grown]);
        $max([$floor($random() * ($cap + 1)), $ceil({hold})])
    )"""


def _platform_errors(task: WorkTask) -> set[str]:
    return {name for retry in task.platform_retries for name in retry.errors}


def _short(names: Iterable[str]) -> Iterable[str]:
    """Both as it was given and without its module: a function's error is its class's bare name."""
    for name in names:
        yield name
        yield name.rpartition(".")[2]
