"""All that a batch was asked for, completed with defaults that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from aws_cdk import Duration

from resilient_constructs.breaker_workflow.choices import Chosen, Warned, choose
from resilient_constructs.breaker_workflow.retry import Parking, Retry
from resilient_constructs.breaker_workflow.work import Work
from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults

from .choices import Shape, check_items, in_order, shape
from .express import check_fits, retries_that_fit
from .items import Items
from .limits import TIMEOUT_DAYS

__all__ = ["Decided", "decide"]


class Decided(NamedTuple):
    """What a batch does.

    :param chosen: with each of its items
    :param formed: how many of them at once
    :param warning: of what is legal and hurts; None for nothing
    """

    chosen: Chosen
    formed: Shape
    warning: Warned | None


def decide(
    faults: Faults,
    *,
    work: Work,
    fallback: object,
    items: Items,
    downstream: Downstream | None,
    retries: Sequence[Retry] | None,
    rejects: Sequence[str],
    throttles: Sequence[str],
    tolerated_percent: float,
    tolerated_count: int | None,
    group: int | None,
    express_items: bool,
    max_concurrency: int | None,
    batches_at_once: int | None,
    wait_for: Duration | None,
    timeout: Duration | None,
    starts_per_second: float | None,
    alarm_when_older_than: Duration | None,
) -> Decided:
    """Fill in what was not given, and note everything that is impossible."""
    check_items(
        faults,
        work=work,
        fallback=fallback,
        items=items,
        downstream=downstream,
        tolerated_percent=tolerated_percent,
        tolerated_count=tolerated_count,
        group=group,
        express_items=express_items,
        wait_for=wait_for,
    )
    if retries is None and express_items:
        retries = retries_that_fit(work, fallback)
    chosen = choose(
        faults,
        work=work,
        fallback=fallback,
        retries=retries,
        rejects=rejects,
        throttles=throttles,
        parking=Parking.WAIT,
        express=False,
        timeout=timeout or _days(TIMEOUT_DAYS),
        keep_parked_for=wait_for,
        alarm_when_older_than=alarm_when_older_than,
    )
    if express_items:
        check_fits(faults, work=work, fallback=fallback, rules=chosen.retries)
    is_guarded = downstream is not None and downstream.breaker is not None
    chosen, warning = in_order(chosen, is_guarded=is_guarded, timeout=timeout, wait_for=wait_for)
    formed = shape(
        faults,
        items=items,
        downstream=downstream,
        max_concurrency=max_concurrency,
        batches_at_once=batches_at_once,
        starts_per_second=starts_per_second,
    )
    return Decided(chosen, formed, warning)


@cache
def _days(days: int) -> Duration:
    return Duration.days(days)
