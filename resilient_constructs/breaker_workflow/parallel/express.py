"""Items as Express executions: what five minutes have room for.

AWS ends an Express execution after five minutes past every Catch, and nobody can send a dead letter for it
any more. So all that an item may do, and its letter after that, has to fit.
https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resilient_constructs.breaker_workflow.limits import BASICS_PAGE, EXPRESS_TIMEOUT
from resilient_constructs.breaker_workflow.machine import MachinePlan, PlatformRetry, RetryRule, WorkTask
from resilient_constructs.breaker_workflow.retry import Retry
from resilient_constructs.breaker_workflow.work import Work
from resilient_constructs.limits import Faults

__all__ = ["as_express", "check_fits", "retries_that_fit"]

_SECONDS = int(EXPRESS_TIMEOUT.high or 0)
# Six attempts of ten seconds, and 1, 2, 4, 8 and 10 seconds between them.
_LETTER = 85
# What all the states take that wait for nobody.
_MOMENTS = 5
_ROOM = _SECONDS - _LETTER - _MOMENTS
_USUAL = 2


def retries_that_fit(work: Work, fallback: object) -> Sequence[Retry]:
    """The default: two further attempts, or as many as there is room for."""
    tasks = _tasks(work, fallback)
    for attempts in range(_USUAL, 0, -1):
        usual = Retry(attempts=attempts)
        if _longest(tasks, [usual.rule()]) <= _ROOM:
            return (usual,)
    return (Retry(attempts=0),)


def check_fits(faults: Faults, *, work: Work, fallback: object, rules: Sequence[RetryRule]) -> None:
    """Note rules with which an item may still be under way when AWS ends it."""
    tasks = _tasks(work, fallback)
    longest = _longest(tasks, rules)
    if longest <= _ROOM or not all(EXPRESS_TIMEOUT.allows(task.timeout_seconds) for task in tasks):
        return
    seconds = work.task.timeout_seconds
    calls = f"{_calls(rules)} calls of {seconds} s"
    if len(tasks) > 1:
        calls += f", a fallback of {tasks[1].timeout_seconds} s"
    waits = longest - _calls(rules) * seconds - sum(task.timeout_seconds for task in tasks[1:])
    faults.add(
        "retries",
        f"{calls}, {waits:g} s between them, {_LETTER} s for a dead letter and {_MOMENTS} s for the states:"
        f" {longest + _LETTER + _MOMENTS:g} s",
        f"at most {_SECONDS} s in all, or an Express item may end before it is a dead letter. Fewer attempts,"
        " a shorter timeout of the work, or express_items=False",
        BASICS_PAGE,
    )


def as_express(plan: MachinePlan) -> MachinePlan:
    """The plan with so many of the platform's own retries as there is room for."""
    fallback = plan.fallback if isinstance(plan.fallback, WorkTask) else None
    tasks = [plan.work, *([] if fallback is None else [fallback])]
    spare = max(0.0, _ROOM - _longest(tasks, plan.retries)) / (_calls(plan.retries) + len(tasks) - 1)
    return replace(
        plan,
        kind="EXPRESS",
        parking="QUEUE",
        timeout_seconds=min(plan.timeout_seconds, _SECONDS),
        work=_trimmed(plan.work, spare),
        fallback=plan.fallback if fallback is None else _trimmed(fallback, spare),
    )


def _tasks(work: Work, fallback: object) -> list[WorkTask]:
    return [work.task, *([fallback.task] if isinstance(fallback, Work) else [])]


def _calls(rules: Sequence[RetryRule]) -> int:
    return 1 + sum(rule.attempts for rule in rules)


def _longest(tasks: Sequence[WorkTask], rules: Sequence[RetryRule]) -> float:
    """Seconds of all calls and of all waits, where each takes its longest.

    An error of the platform comes at once: of its retries only the waits count.
    """
    work, *others = tasks
    waits = sum(
        min(rule.longest_seconds, rule.interval_seconds * rule.backoff_rate ** min(number, 64))
        for rule in rules
        for number in range(rule.attempts)
    )
    once = sum(task.timeout_seconds + _waits(_fewest(task)) for task in others)
    return waits + once + _calls(rules) * (work.timeout_seconds + _waits(_fewest(work)))


def _waits(retries: Sequence[PlatformRetry]) -> float:
    return sum(
        min(retry.longest_seconds, retry.interval_seconds * retry.backoff_rate**number)
        for retry in retries
        for number in range(retry.attempts)
    )


def _fewest(task: WorkTask) -> tuple[PlatformRetry, ...]:
    return tuple(replace(retry, attempts=min(1, retry.attempts)) for retry in task.platform_retries)


def _trimmed(task: WorkTask, spare: float) -> WorkTask:
    """With one of the platform's retries of each kind, and further ones while they fit.

    :param spare: seconds that one call has for these
    """
    most = _waits(_fewest(task)) + spare
    retries = list(task.platform_retries)
    while _waits(retries) > most:
        longest = max((retry for retry in retries if retry.attempts > 1), key=lambda retry: _waits([retry]))
        retries[retries.index(longest)] = replace(longest, attempts=longest.attempts - 1)
    return replace(task, platform_retries=tuple(retries))
