"""Limits and defaults of a downstream."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "BURST",
    "CONCURRENCY",
    "CONNECTIONS",
    "MAX_CONCURRENCY",
    "MIN_CONCURRENCY",
    "REQUESTS_PER_SECOND",
    "SCALING_PAGE",
    "TYPICAL_LATENCY",
]

SCALING_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"
_LITTLE_PAGE = "https://en.wikipedia.org/wiki/Little%27s_law"

# What one SQS event source mapping can be held to.
MIN_CONCURRENCY, MAX_CONCURRENCY = 2, 1000
CONCURRENCY = Limit(
    prop="max_concurrency", low=MIN_CONCURRENCY, high=MAX_CONCURRENCY, unit="invocations", page=SCALING_PAGE
)

# Slower than one call in 1,000 seconds is no rate that a function of at most 900 seconds can be paced to.
REQUESTS_PER_SECOND = Limit(
    prop="requests_per_second",
    low=0.001,
    high=1_000_000,
    unit="requests a second",
    page=_LITTLE_PAGE,
    whole=False,
)
BURST = Limit(prop="burst", low=1, high=1_000_000, unit="requests", page=_LITTLE_PAGE, whole=False)
# The longest that a function can wait for an answer.
TYPICAL_LATENCY = Limit(
    prop="typical_latency",
    low=0.001,
    high=900,
    unit="seconds",
    page="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
    default=1,
    whole=False,
)
# One mapping cannot be held below two, so a downstream with one connection would always be overrun.
CONNECTIONS = Limit(prop="connections", low=2, high=None, unit="connections", page=SCALING_PAGE)
