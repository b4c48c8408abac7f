"""What a workflow was asked for, checked and completed with defaults, before anything is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from resilient_runtime.breaker.policy import BreakerPolicy as RuntimePolicy

from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults, Limit
from resilient_constructs.queues import facts_of
from resilient_constructs.tokens import is_token, seconds

from .limits import (
    ALARM_AGE,
    BASICS_PAGE,
    EXPRESS_TIMEOUT,
    KEEP_PARKED,
    POLLING_PAGE,
    QUEUE_PAGE,
    QUEUE_VISIBILITY_UNSET,
    TIMEOUT,
)
from .machine import Constant, MachinePlan, RetryRule
from .pace import Pace
from .retry import Parking, Retry, check_names, check_retries
from .work import Work

__all__ = [
    "Chosen",
    "Warned",
    "check_parking",
    "check_queues",
    "check_visibility",
    "choose",
    "plan_of",
    "warn_of",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a workflow does, defaults filled in.

    :param retries: the rules
    :param timeout: seconds that an execution may take
    :param longest: seconds that all attempts and all waits in between take at most
    :param keep_parked: seconds after which work is not parked again
    :param alarm_age: seconds that work may wait before someone is woken
    :param waits: whether work waits for the circuit in its execution
    """

    retries: tuple[RetryRule, ...]
    timeout: int
    longest: float
    keep_parked: int
    alarm_age: float
    waits: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """A setting that AWS takes and that will hurt: the slug of its warning, and the text."""

    slug: str
    text: str


def choose(
    faults: Faults,
    *,
    work: Work,
    fallback: object,
    retries: Sequence[Retry] | None,
    rejects: Sequence[str],
    throttles: Sequence[str],
    parking: Parking,
    express: bool,
    timeout: Duration | None,
    keep_parked_for: Duration | None,
    alarm_when_older_than: Duration | None,
) -> Chosen:
    """Fill in what was not given, and note everything that is impossible."""
    work.check(faults, express=express)
    if isinstance(fallback, Work):
        fallback.check(faults, express=express)
    # three attempts of a minute are what five minutes have room for
    usual = Retry(attempts=2) if express else Retry()
    asked = (usual,) if retries is None else tuple(retries)
    check_retries(faults, asked)
    check_names(faults, "rejects", rejects)
    check_names(faults, "throttles", throttles)
    if parking not in tuple(Parking):
        faults.add("parking", parking, "Parking.QUEUE or Parking.WAIT", BASICS_PAGE)
    if express and parking == Parking.WAIT:
        allowed = "Parking.QUEUE, because an Express workflow ends after five minutes"
        faults.add("parking", str(parking), allowed, BASICS_PAGE)
    rules = () if faults.found else tuple(retry.rule() for retry in asked)
    longest = _longest(work, rules)
    keep_parked = _whole(faults, KEEP_PARKED, keep_parked_for)
    waits = parking == Parking.WAIT
    limit = _choose_timeout(faults, timeout, longest, waiting=keep_parked if waits else 0, express=express)
    for each in (work, *([fallback] if isinstance(fallback, Work) else ())):
        if timeout is not None and limit < each.task.timeout_seconds:
            allowed = f"at least the {each.task.timeout_seconds:,} seconds that one call may take"
            faults.add("timeout", limit, allowed, TIMEOUT.page)
    return Chosen(
        retries=rules,
        timeout=limit,
        longest=longest,
        keep_parked=keep_parked,
        alarm_age=_whole(faults, ALARM_AGE, alarm_when_older_than),
        waits=waits,
    )


def check_queues(faults: Faults, **given: sqs.IQueue | None) -> None:
    """Note FIFO queues: executions run side by side, so an order would be kept for nothing and only slow."""
    for prop, queue in given.items():
        if queue is not None and facts_of(queue).fifo:
            faults.add(prop, "a FIFO queue", "a standard queue: executions keep no order", QUEUE_PAGE)


def check_parking(
    faults: Faults,
    *,
    guarded: bool,
    parking: Parking | None,
    parked_queue: sqs.IQueue | None,
    keep_parked_for: Duration | None,
) -> None:
    """Note what was said of parking where nothing is parked so: it would be for nothing, in silence."""
    given = {"parking": parking, "parked_queue": parked_queue, "keep_parked_for": keep_parked_for}
    for prop, value in given.items():
        if value is not None and not guarded:
            faults.add(prop, "given", "only with a downstream that has a breaker", BASICS_PAGE)
    if guarded and parking == Parking.WAIT and parked_queue is not None:
        faults.add("parked_queue", "given", "only with Parking.QUEUE", BASICS_PAGE)


def check_visibility(faults: Faults, timeout: float, **given: sqs.IQueue | None) -> None:
    """Note queues that hide a message for less time than the starter may take: Lambda refuses the mapping."""
    for prop, queue in given.items():
        resource = queue.node.default_child if isinstance(queue, sqs.Queue) else None
        if not isinstance(resource, sqs.CfnQueue):
            continue
        found = resource.visibility_timeout
        visibility = QUEUE_VISIBILITY_UNSET if found is None else found
        if not is_token(visibility) and visibility < timeout:
            allowed = f"at least the starter's timeout of {timeout:g} seconds, better six times that"
            faults.add(f"{prop}.visibility_timeout", visibility, allowed, POLLING_PAGE)


def plan_of(
    chosen: Chosen,
    *,
    work: Work,
    fallback: object,
    rejects: Sequence[str],
    throttles: Sequence[str],
    parking: Parking,
    express: bool,
    downstream: Downstream | None,
    parked_queue_url: str | None,
    dead_letter_queue_url: str,
    partition: str,
    comment: str,
) -> MachinePlan:
    """The state machine as plain values."""
    circuits = None if downstream is None else downstream.circuits
    guarded: dict[str, Any] = {}
    if downstream is not None and downstream.breaker is not None and circuits is not None:
        guarded = {
            "downstream": downstream.name,
            "table": circuits.table_name,
            "policy": RuntimePolicy.from_settings(
                downstream.breaker.settings(downstream.typical_latency_seconds)
            ),
        }
    return MachinePlan(
        work=work.task,
        dead_letter_queue_url=dead_letter_queue_url,
        timeout_seconds=chosen.timeout,
        retries=chosen.retries,
        rejects=tuple(dict.fromkeys((*rejects, *work.rejects))),
        throttles=tuple(dict.fromkeys((*throttles, *work.throttles))),
        parking=parking.value,
        parked_queue_url=parked_queue_url,
        keep_parked_seconds=chosen.keep_parked,
        fallback=_fallback(fallback),
        kind="EXPRESS" if express else "STANDARD",
        partition=partition,
        comment=comment,
        **guarded,
    )


def warn_of(chosen: Chosen, pace: Pace, downstream: Downstream | None) -> Sequence[Warned]:
    """What is legal and still loses time or too many connections, with its two numbers and the remedy."""
    warned = []
    if chosen.longest > chosen.timeout:
        warned.append(
            Warned(
                slug="timeout",
                text=f"timeout is {chosen.timeout:,} s, but all attempts and the waits between them may take"
                f" {chosen.longest:,.0f} s: an execution may run out of time before its last attempt. Raise"
                f" timeout, or lower attempts, longest or the work's timeout ({TIMEOUT.page})",
            )
        )
    if chosen.waits and chosen.timeout < chosen.keep_parked:
        warned.append(
            Warned(
                slug="parking",
                text=f"timeout is {chosen.timeout:,} s, but with Parking.WAIT work waits for the circuit in"
                f" its execution, up to keep_parked_for, {chosen.keep_parked:,} s: in a long outage it runs"
                f" out of time instead. Raise timeout, or lower keep_parked_for ({TIMEOUT.page})",
            )
        )
    if downstream is not None and downstream.connections is not None:
        warned.append(
            Warned(
                slug="connections",
                text=f"{downstream.name!r} has {downstream.connections} connections; executions are held to"
                f" {pace.starts_per_second:g} starts a second, which keeps {pace.calls} under way while a"
                f" call takes {downstream.typical_latency_seconds:g} s, and more when calls get slower."
                " Give its breaker slow_after, or call it from a FlowControlledConsumer, which holds the"
                f" number itself ({BASICS_PAGE})",
            )
        )
    return warned


def _fallback(fallback: object) -> Any:
    if fallback is None:
        return None
    return fallback.task if isinstance(fallback, Work) else Constant(value=fallback)


def _longest(work: Work, rules: Sequence[RetryRule]) -> float:
    """Each rule's attempts are its own, so the worst work uses up all of them."""
    attempts = 1 + sum(rule.attempts for rule in rules)
    waits = sum(
        min(rule.longest_seconds, rule.interval_seconds * rule.backoff_rate ** min(number, 64))
        for rule in rules
        for number in range(rule.attempts)
    )
    return attempts * work.task.timeout_seconds + waits


def _choose_timeout(
    faults: Faults, timeout: Duration | None, longest: float, *, waiting: float, express: bool
) -> int:
    limit = EXPRESS_TIMEOUT if express else TIMEOUT
    if timeout is not None:
        return _whole(faults, limit, timeout)
    usual = int(limit.default or 0)
    # room for the platform's own retries, as much again
    return usual if express else min(int(limit.high or usual), max(usual, math.ceil(waiting + 2 * longest)))


def _whole(faults: Faults, limit: Limit, duration: Duration | None) -> int:
    found = seconds(duration, default=limit.default or 0)
    if is_token(found):
        faults.add(limit.prop, "a token", "a duration known at synth", limit.page)
        return int(limit.default or 0)
    faults.check(limit, found)
    return int(found)
