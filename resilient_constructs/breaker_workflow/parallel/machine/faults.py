"""What is wrong with a batch's plan: impossible, and told all at once."""

from __future__ import annotations

from resilient_constructs.limits import Faults, Limit

from .plan import BatchPlan, Given
from .turn import EVENTS_OF_LOOKS

__all__ = ["check", "inline_waits"]

INLINE_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html"
DISTRIBUTED_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"
QUOTAS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"

INLINE_CONCURRENCY = Limit(prop="max_concurrency", low=1, high=40, unit="iterations", page=INLINE_PAGE)
DISTRIBUTED_CONCURRENCY = Limit(
    prop="max_concurrency", low=1, high=10_000, unit="child executions", page=DISTRIBUTED_PAGE
)
PERCENT = Limit(
    prop="tolerated_percent", low=0, high=100, unit="per cent", page=DISTRIBUTED_PAGE, whole=False
)

_HISTORY = 25_000
"""Events that the history of a Standard execution may have. ``QUOTAS_PAGE``"""
_EVENTS_OF_A_BATCH = 200
_EVENTS_OF_AN_ITEM = 40
# A failed attempt with all that it tells the circuit, and one look at an open circuit.
_EVENTS_OF_AN_ATTEMPT = 30
_EVENTS_OF_A_WAIT = 9
_MOST_WAITS = 2_000


def inline_waits(plan: BatchPlan) -> int:
    """How often an item of an inline batch may wait for an open circuit; all items share one history."""
    if not isinstance(plan.source, Given) or plan.source.most < 1:
        return _MOST_WAITS
    attempts = 1 + sum(rule.attempts for rule in plan.item.retries)
    waiting = 0 if plan.batches_at_once is None else EVENTS_OF_LOOKS
    each = (_HISTORY - _EVENTS_OF_A_BATCH - waiting) // plan.source.most
    return min(
        _MOST_WAITS, (each - _EVENTS_OF_AN_ITEM - attempts * _EVENTS_OF_AN_ATTEMPT) // _EVENTS_OF_A_WAIT
    )


def check(plan: BatchPlan) -> None:
    """Raise everything that is wrong with the plan.

    :raises ValueError: when something is
    """
    faults = Faults("BatchPlan")
    faults.check(DISTRIBUTED_CONCURRENCY if plan.is_distributed else INLINE_CONCURRENCY, plan.max_concurrency)
    faults.check(PERCENT, plan.tolerated_percent)
    if plan.tolerated_count is not None and plan.tolerated_count < 0:
        faults.add("tolerated_count", plan.tolerated_count, "0 or more items", DISTRIBUTED_PAGE)
    if plan.item.downstream is not None and plan.item.parking != "WAIT":
        faults.add(
            "item.parking",
            plan.item.parking,
            "WAIT: a batch ends when all of its items have",
            DISTRIBUTED_PAGE,
        )
    if not plan.is_distributed:
        _check_inline(faults, plan)
    faults.raise_any()


def _check_inline(faults: Faults, plan: BatchPlan) -> None:
    if plan.grouped is not None:
        faults.add("grouped", plan.grouped.items, "only if distributed", DISTRIBUTED_PAGE)
    if plan.item.kind != "STANDARD":
        faults.add(
            "item.kind", plan.item.kind, "STANDARD, as the batch that its items are a part of", INLINE_PAGE
        )
    if isinstance(plan.source, Given) and plan.source.most < 1:
        faults.add("source.most", plan.source.most, "1 item or more", INLINE_PAGE)
    elif inline_waits(plan) < 1:
        allowed = "so few items and attempts that all of them fit into 25,000 events; or distributed"
        faults.add("source.most", getattr(plan.source, "most", 0), allowed, QUOTAS_PAGE)
