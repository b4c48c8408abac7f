"""What Step Functions allows of a Map, and the defaults of ``ParallelWork``."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "BATCHES_AT_ONCE",
    "DISTRIBUTED_CONCURRENCY",
    "GROUP",
    "GROUP_BYTES",
    "INLINE_CONCURRENCY",
    "MOST_ITEMS",
    "READER_PAGE",
    "RUN_SECONDS",
    "SLOWEST_STARTS_PER_SECOND",
    "STARTS_PER_SECOND",
    "TIMEOUT_DAYS",
    "TOLERATED_COUNT",
    "TOLERATED_PERCENT",
]

_DISTRIBUTED = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"
_INLINE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html"
_BATCHER = "https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html"
_QUOTAS = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
READER_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html"

# Without a downstream nothing says how many it bears: forty, as many as inline can have at all.
INLINE_CONCURRENCY = Limit(
    prop="max_concurrency", low=1, high=40, unit="items at once, inline", page=_INLINE, default=40
)
DISTRIBUTED_CONCURRENCY = Limit(
    prop="max_concurrency", low=1, high=10_000, unit="items at once", page=_DISTRIBUTED, default=40
)
BATCHES_AT_ONCE = Limit(prop="batches_at_once", low=1, high=1_000, unit="batches", page=_QUOTAS, default=1)
MOST_ITEMS = Limit(prop="items.most", low=1, high=500, unit="inline items", page=_QUOTAS, default=40)
TOLERATED_PERCENT = Limit(
    prop="tolerated_percent", low=0, high=100, unit="per cent", page=_DISTRIBUTED, default=0, whole=False
)
TOLERATED_COUNT = Limit(prop="tolerated_count", low=0, high=100_000_000, unit="items", page=_DISTRIBUTED)
# More would not fit into a child's input, were each of them 26 bytes long.
GROUP = Limit(prop="group", low=1, high=10_000, unit="items of one call", page=_BATCHER)
# The page says 262,144; a group that is given up goes into one dead letter, with what is put around it.
GROUP_BYTES = 200_000
"""Bytes that the items of one group may have together."""
# A batch is a lot of work: one start a second is many, and leaves the account's starts to others.
STARTS_PER_SECOND = 1.0
SLOWEST_STARTS_PER_SECOND = 0.01
"""The default goes no lower, however slow the downstream is, or a few batches would take a day to start."""
TIMEOUT_DAYS = 14
"""As long as a queue keeps what a batch consists of."""
RUN_SECONDS = 604_800
"""What a batch has beyond the time that one of its items may wait for the circuit: a week."""
