"""What a batch was asked for, checked and completed with defaults, before anything is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aws_cdk import Duration

from resilient_constructs.breaker_workflow.choices import Chosen, Warned
from resilient_constructs.breaker_workflow.limits import KEEP_PARKED, TIMEOUT
from resilient_constructs.breaker_workflow.machine import MachinePlan
from resilient_constructs.breaker_workflow.work import Work
from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults, Limit
from resilient_constructs.tokens import is_token, seconds

from .express import as_express
from .items import Items
from .limits import (
    BATCHES_AT_ONCE,
    DISTRIBUTED_CONCURRENCY,
    GROUP,
    GROUP_BYTES,
    INLINE_CONCURRENCY,
    RUN_SECONDS,
    SLOWEST_STARTS_PER_SECOND,
    STARTS_PER_SECOND,
    TOLERATED_COUNT,
    TOLERATED_PERCENT,
)
from .machine import BatchPlan, Grouped

__all__ = ["Shape", "as_folder", "as_item", "check_items", "in_order", "plan_of_batch", "shape"]

# Of what keeps a downstream busy, what batches leave to items that are sent back.
_AGAIN = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How wide a batch is.

    :param concurrency: items that one batch has under way
    :param batches: how many batches may run at once; None where nobody counts them
    :param calls: calls of the downstream under way, of all batches together and of items that were sent back;
        None without a downstream
    :param starts_per_second: how many batches, or items that were sent back, may start a second
    """

    concurrency: int
    batches: int | None
    calls: int | None
    starts_per_second: float


def shape(
    faults: Faults,
    *,
    items: Items,
    downstream: Downstream | None,
    max_concurrency: int | None,
    batches_at_once: int | None,
    starts_per_second: float | None,
) -> Shape:
    """Little's law for all batches together, shared out among as many as run at once.

    Items that are sent back wait for no turn, or thousands would ask Step Functions for it. They come as
    quickly as the starter starts them, and a part of the width is left to them.
    """
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
        return Shape(
            concurrency=asked or int(limit.default or 1),
            batches=batches,
            calls=None,
            starts_per_second=STARTS_PER_SECOND if starts_per_second is None else starts_per_second,
        )
    width, latency = downstream.unpaced_concurrency, downstream.typical_latency_seconds
    starts = starts_per_second
    if starts is None:
        starts = max(SLOWEST_STARTS_PER_SECOND, min(STARTS_PER_SECOND, _AGAIN * width / latency))
    again = math.ceil(_AGAIN * width)
    if not is_token(starts):
        again = min(again, max(1, math.ceil(starts * latency)))
    batches = batches or int(BATCHES_AT_ONCE.default or 1)
    concurrency = asked or max(1, min((width - again) // batches, most))
    calls = concurrency * batches
    return Shape(
        concurrency=concurrency,
        batches=batches,
        calls=max(calls, min(width, calls + again)),
        starts_per_second=starts,
    )


def in_order(
    chosen: Chosen, *, is_guarded: bool, timeout: Duration | None, wait_for: Duration | None
) -> tuple[Chosen, Warned | None]:
    """An item gives up waiting before its batch runs out of time, and is called once more before that.

    :param timeout: as it was given
    :param wait_for: as it was given
    :return: the same with what was not given in that order, and a warning where what was given is not
    """
    attempts = math.ceil(chosen.longest)
    if timeout is None:
        wanted = (
            max(chosen.timeout, chosen.keep_parked + max(RUN_SECONDS, attempts)) if is_guarded else attempts
        )
        return replace(chosen, timeout=min(int(TIMEOUT.high or 0), max(chosen.timeout, wanted))), None
    if is_guarded and wait_for is None:
        left = max(int(KEEP_PARKED.low or 0), chosen.timeout - attempts)
        chosen = replace(chosen, keep_parked=min(chosen.keep_parked, left))
    longest = attempts + (chosen.keep_parked if is_guarded else 0)
    if longest <= chosen.timeout:
        return chosen, None
    waits = f"may wait {chosen.keep_parked:,} s for its circuit and then " if is_guarded else "may "
    text = (
        f"timeout is {chosen.timeout:,} s, but one item {waits}take {attempts:,} s for all attempts: the"
        " batch ends before the item is a dead letter. Raise timeout, or lower wait_for, attempts, longest or"
        f" the work's timeout ({TIMEOUT.page})"
    )
    return chosen, Warned(slug="timeout", text=text)


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
    wait_for: Duration | None,
) -> None:
    """Note what is impossible of the items and their work."""
    if wait_for is not None and (downstream is None or downstream.breaker is None):
        allowed = "only with a downstream that has a breaker, as items wait for nothing else"
        faults.add("wait_for", seconds(wait_for, default=0), allowed, KEEP_PARKED.page)
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


def as_folder(prefix: str) -> str:
    """The prefix with a slash at its end, or what comes after it would run into it; an empty one stays."""
    return prefix if not prefix or is_token(prefix) or prefix.endswith("/") else f"{prefix}/"


def as_item(plan: MachinePlan, *, express: bool) -> MachinePlan:
    """The work's plan for one item: there is no queue for parked items, they wait where they are."""
    return as_express(plan) if express else plan


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
