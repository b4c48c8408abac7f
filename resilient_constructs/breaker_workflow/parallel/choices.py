"""What a batch was asked for, checked and completed with defaults, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from resilient_constructs.breaker_workflow.machine import MachinePlan
from resilient_constructs.breaker_workflow.work import Work
from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults, Limit
from resilient_constructs.tokens import is_token

from .items import Items
from .limits import (
    BATCHES_AT_ONCE,
    DISTRIBUTED_CONCURRENCY,
    GROUP,
    GROUP_BYTES,
    INLINE_CONCURRENCY,
    TOLERATED_COUNT,
    TOLERATED_PERCENT,
)
from .machine import BatchPlan, Grouped

__all__ = ["Shape", "as_item", "check_items", "plan_of_batch", "shape"]

_EXPRESS_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How wide a batch is.

    :param concurrency: items that one batch has under way
    :param batches: how many batches may run at once; None where nobody counts them
    :param calls: calls of the downstream under way, of all batches together; None without a downstream
    """

    concurrency: int
    batches: int | None
    calls: int | None


def shape(
    faults: Faults,
    *,
    items: Items,
    downstream: Downstream | None,
    max_concurrency: int | None,
    batches_at_once: int | None,
) -> Shape:
    """Little's law for all batches together, shared out among as many as run at once."""
    limit = DISTRIBUTED_CONCURRENCY if items.source.is_distributed else INLINE_CONCURRENCY
    for one, value in ((limit, max_concurrency), (BATCHES_AT_ONCE, batches_at_once)):
        if is_token(value):
            faults.add(one.prop, "a token", "a number known at synth", one.page)
        else:
            faults.check(one, value)
    batches = batches_at_once if _is_count(BATCHES_AT_ONCE, batches_at_once) else None
    asked = max_concurrency if _is_count(limit, max_concurrency) else None
    most = int(limit.high or 1)
    if downstream is None:
        return Shape(concurrency=asked or int(limit.default or 1), batches=batches, calls=None)
    batches = batches or int(BATCHES_AT_ONCE.default or 1)
    concurrency = asked or max(1, min(downstream.unpaced_concurrency // batches, most))
    return Shape(concurrency=concurrency, batches=batches, calls=concurrency * batches)


def check_items(
    faults: Faults,
    *,
    work: Work,
    fallback: object,
    items: Items,
    downstream: Downstream | None,
    tolerated_percent: float,
    tolerated_count: int | None,
    group: int | None,
    express_items: bool,
) -> None:
    """Note what is impossible of the items and their work."""
    for complain in items.complaints:
        complain(faults)
    faults.check(TOLERATED_PERCENT, tolerated_percent)
    for limit, value in ((TOLERATED_COUNT, tolerated_count), (GROUP, group)):
        faults.check(limit, value)
    for prop, number in _numbers(tolerated_percent, tolerated_count, group):
        if is_token(number):
            faults.add(prop, "a token", "a number known at synth", TOLERATED_PERCENT.page)
    if group is not None and not items.source.is_distributed:
        faults.add("group", group, "only of distributed items", GROUP.page)
    if not express_items:
        return
    page = DISTRIBUTED_CONCURRENCY.page
    for each in (work, *([fallback] if isinstance(fallback, Work) else ())):
        each.check(faults, express=True)
    if not items.source.is_distributed:
        faults.add("express_items", True, "only of distributed items", page)
    if downstream is not None and downstream.breaker is not None:
        allowed = "False with a breaker, as an Express item cannot wait until the circuit closes"
        faults.add("express_items", True, allowed, page)


def as_item(plan: MachinePlan, *, express: bool) -> MachinePlan:
    """The work's plan for one item: there is no queue for parked items, they wait where they are."""
    if not express:
        return plan
    return replace(
        plan, kind="EXPRESS", parking="QUEUE", timeout_seconds=min(plan.timeout_seconds, _EXPRESS_SECONDS)
    )


def plan_of_batch(
    item: MachinePlan,
    *,
    items: Items,
    formed: Shape,
    bucket: str,
    prefix: str,
    timeout: int,
    tolerated_percent: float,
    tolerated_count: int | None,
    group: int | None,
    comment: str,
) -> BatchPlan:
    """The state machine as plain values."""
    return BatchPlan(
        item=item,
        source=items.source,
        max_concurrency=formed.concurrency,
        results_bucket=bucket,
        results_prefix=prefix,
        timeout_seconds=timeout,
        tolerated_percent=tolerated_percent,
        tolerated_count=tolerated_count,
        grouped=None if group is None else Grouped(items=group, input_bytes=GROUP_BYTES),
        batches_at_once=formed.batches,
        comment=comment,
    )


def _numbers(
    percent: float, count: int | None, group: int | None
) -> Iterator[tuple[str, float | int | None]]:
    yield "tolerated_percent", percent
    yield "tolerated_count", count
    yield "group", group


def _is_count(limit: Limit, value: object) -> bool:
    return value is not None and not is_token(value) and limit.allows(value)
