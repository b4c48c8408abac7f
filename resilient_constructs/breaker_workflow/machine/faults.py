"""What is wrong with a plan: impossible, and told all at once."""

from __future__ import annotations

from resilient_constructs.limits import Faults, Limit

from .plan import MachinePlan, RetryRule, WorkTask

__all__ = ["check"]

QUOTAS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
TYPES_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html"
ERRORS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"
TASK_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html"

# A year for Standard, five minutes for Express.
TIMEOUT = Limit(prop="timeout_seconds", low=1, high=31_536_000, unit="seconds", page=QUOTAS_PAGE)
TIMEOUT_EXPRESS = Limit(prop="timeout_seconds", low=1, high=300, unit="seconds of Express", page=TYPES_PAGE)
WORK_TIMEOUT = Limit(prop="work.timeout_seconds", low=1, high=99_999_999, unit="seconds", page=TASK_PAGE)
ATTEMPTS = Limit(prop="retries.attempts", low=0, high=1_000, unit="times", page=ERRORS_PAGE)
INTERVAL = Limit(
    prop="retries.interval_seconds", low=0, high=86_400, unit="seconds", page=ERRORS_PAGE, whole=False
)
RATE = Limit(prop="retries.backoff_rate", low=1, high=100, unit="times", page=ERRORS_PAGE, whole=False)
LONGEST = Limit(
    prop="retries.longest_seconds", low=0, high=31_536_000, unit="seconds", page=QUOTAS_PAGE, whole=False
)
KEEP_PARKED = Limit(
    prop="keep_parked_seconds", low=60, high=31_536_000, unit="seconds", page=QUOTAS_PAGE, default=1_209_600
)
FAILED_PROBES = Limit(prop="most_failed_probes", low=1, high=10_000, unit="probes", page=QUOTAS_PAGE)

_NOT_IN_EXPRESS = (".sync", ".sync:2", ".waitForTaskToken")


def check(plan: MachinePlan) -> None:
    """Raise everything that is wrong with the plan.

    :raises ValueError: when something is
    """
    faults = Faults(f"MachinePlan of {plan.downstream or 'no downstream'}")
    is_express = plan.kind == "EXPRESS"
    faults.check(TIMEOUT_EXPRESS if is_express else TIMEOUT, plan.timeout_seconds)
    faults.check(KEEP_PARKED, plan.keep_parked_seconds)
    faults.check(FAILED_PROBES, plan.most_failed_probes)
    _check_task(faults, "work", plan.work, plan)
    if isinstance(plan.fallback, WorkTask):
        _check_task(faults, "fallback", plan.fallback, plan)
    for rule in plan.retries:
        _check_rule(faults, rule)
    if plan.downstream is not None:
        _check_breaker(faults, plan)
    if is_express and plan.parking == "WAIT":
        faults.add("parking", "WAIT", "QUEUE; an Express execution ends after five minutes", TYPES_PAGE)
    faults.raise_any()


def _check_task(faults: Faults, name: str, task: WorkTask, plan: MachinePlan) -> None:
    faults.check(WORK_TIMEOUT, task.timeout_seconds)
    if task.timeout_seconds > plan.timeout_seconds:
        allowed = f"at most the execution's timeout_seconds, {plan.timeout_seconds}"
        faults.add(f"{name}.timeout_seconds", task.timeout_seconds, allowed, TASK_PAGE)
    if task.heartbeat_seconds is not None and not 1 <= task.heartbeat_seconds < task.timeout_seconds:
        allowed = f"whole seconds, from 1, less than its timeout_seconds, {task.timeout_seconds}"
        faults.add(f"{name}.heartbeat_seconds", task.heartbeat_seconds, allowed, TASK_PAGE)
    if plan.kind == "EXPRESS" and task.resource.endswith(_NOT_IN_EXPRESS):
        faults.add(
            f"{name}.resource", task.resource, "no .sync and no .waitForTaskToken in Express", TYPES_PAGE
        )
    if not task.platform_retries:
        allowed = "at least one, so that no error of the platform's ends the work"
        faults.add(f"{name}.platform_retries", task.platform_retries, allowed, ERRORS_PAGE)
    for retry in task.platform_retries:
        if "States.ALL" in retry.errors or "States.TaskFailed" in retry.errors:
            allowed = "names of the platform's own errors; the work's are counted, and tried again by retries"
            faults.add(f"{name}.platform_retries", retry.errors, allowed, ERRORS_PAGE)
        if retry.longest_seconds <= retry.interval_seconds:
            allowed = f"more than its interval_seconds, {retry.interval_seconds}"
            faults.add(
                f"{name}.platform_retries.longest_seconds", retry.longest_seconds, allowed, ERRORS_PAGE
            )


def _check_rule(faults: Faults, rule: RetryRule) -> None:
    faults.check(ATTEMPTS, rule.attempts)
    faults.check(INTERVAL, rule.interval_seconds)
    faults.check(RATE, rule.backoff_rate)
    faults.check(LONGEST, rule.longest_seconds)
    if not rule.errors:
        faults.add("retries.errors", rule.errors, "at least one name of an error", ERRORS_PAGE)


def _check_breaker(faults: Faults, plan: MachinePlan) -> None:
    for prop in ("table", "policy"):
        if getattr(plan, prop) is None:
            faults.add(prop, None, "one, with a downstream", QUOTAS_PAGE)
    if plan.parking == "QUEUE" and plan.parked_queue_url is None:
        faults.add("parked_queue_url", None, "one, with a downstream and parking QUEUE", QUOTAS_PAGE)
