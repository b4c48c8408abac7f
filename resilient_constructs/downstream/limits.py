"""Limits and defaults of a downstream."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "BREAKER",
    "BREAKER_PAGE",
    "BURST",
    "CONCURRENCY",
    "CONNECTIONS",
    "MAX_CONCURRENCY",
    "MIN_CONCURRENCY",
    "REQUESTS_PER_SECOND",
    "SCALING_PAGE",
    "STREAM_PAGE",
    "STREAM_READERS",
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

STREAM_PAGE = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html"
STREAM_READERS = 2
"""How many may read one shard of a table's stream at the same time without being throttled."""

BREAKER_PAGE = (
    "https://docs.aws.amazon.com/prescriptive-guidance/latest/cloud-design-patterns/circuit-breaker.html"
)


def _breaker(
    prop: str, low: float, high: float, unit: str, default: float | None, *, whole: bool = False
) -> Limit:
    return Limit(
        prop=f"breaker.{prop}", low=low, high=high, unit=unit, page=BREAKER_PAGE, default=default, whole=whole
    )


_SHARE = "of the calls"
# A tenth of a window must not be shorter than the environments' clocks are apart, hence its 10 seconds.
BREAKER: tuple[Limit, ...] = (
    _breaker("failure_rate", 0.01, 1, _SHARE, 0.5),
    _breaker("outage_rate", 0.01, 1, _SHARE, 0.95),
    _breaker("outage_calls", 1, 1_000_000, "calls", 10, whole=True),
    _breaker("slow_call_rate", 0.01, 1, _SHARE, 0.5),
    _breaker("slow_after", 0.001, 900, "seconds", None),
    _breaker("window", 10, 3600, "seconds", 30),
    _breaker("minimum_calls", 1, 1_000_000, "calls", 40, whole=True),
    _breaker("recovery_time", 0.1, 86_400, "seconds", 15),
    _breaker("recovery_growth", 1, 10, "times", 2),
    _breaker("longest_recovery_time", 0.1, 86_400, "seconds", 120),
    _breaker("probes", 1, 20, "calls at a time", 1, whole=True),
    _breaker("probe_lease", 1, 900, "seconds", 30),
    _breaker("successes_to_close", 1, 1000, "calls", 3, whole=True),
    _breaker("cache_for", 0.1, 300, "seconds", 5),
)
"""Every number of a ``BreakerPolicy``, durations in seconds. The runtime has the same defaults and bounds."""
