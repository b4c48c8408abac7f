"""What a user says of a downstream's breaker, and what its callers' runtime is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from resilient_runtime.breaker.policy import BreakerPolicy as RuntimePolicy

from resilient_constructs.limits import Faults

from .limits import BREAKER, BREAKER_PAGE

__all__ = ["BreakerPolicy"]

_RUNTIME_NAMES = {
    "slow_after": "slow_call_seconds",
    "window": "window_seconds",
    "recovery_time": "recovery_seconds",
    "longest_recovery_time": "longest_recovery_seconds",
    "probe_lease": "lease_seconds",
    "cache_for": "cache_seconds",
}
_DEFAULTS = {limit.prop.removeprefix("breaker."): limit.default for limit in BREAKER}
_PROBE = 3
"""Times the typical latency that a probe may take by default: a downstream that has just healed is slow."""
_LONGEST_LEASE = 900.0
"""Seconds; no invocation takes longer. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerPolicy:
    """When a downstream's circuit opens, and how it closes again. All its callers are counted together.

    ``BreakerPolicy()`` opens when of the latest ten calls nearly all failed, or half of at least 40 within 30
    seconds; it lets a first probe pass after at most 15 seconds and closes after three good ones.

    :param failure_rate: the share of failed calls in the window from which it opens. Default: half
    :param outage_rate: the share of the latest calls from which it opens whatever came before. Default: 95 %
    :param outage_calls: how many of the latest calls that needs. Default: ten
    :param slow_call_rate: the share of slow calls in the window from which it opens. Default: half
    :param slow_after: how long a call may take that succeeds. Default: none is too slow
    :param window: how far back calls are counted, 10 seconds to an hour. Default: 30 seconds
    :param minimum_calls: how many calls a judgement by the window's rates needs. Default: 40
    :param recovery_time: how long it stays open before the first probe. Default: 15 seconds
    :param recovery_growth: how many times longer after each probe that failed. Default: twice
    :param longest_recovery_time: where that growth ends. Default: two minutes, or ``recovery_time`` if longer
    :param probes: how many probes may be under way at once, all callers together. Default: one
    :param probe_lease: how long a probe may take before another caller may try; one that takes longer says
        nothing. At least the downstream's ``typical_latency``. Default: three times that or ``slow_after``,
        whichever is longer, 30 seconds to 15 minutes
    :param successes_to_close: how many probes have to succeed. Default: three
    :param cache_for: how old the shared state may be that a caller acts on. Default: five seconds
    :param ignored_errors: names of exception classes that say nothing about the downstream. Default: none;
        ``Reject`` never counts
    :param counted_errors: names of the only exception classes that count. Default: all
    :param throttling_counts: whether an answer 429 counts as a failure. Default: no, it slows the pace

    https://docs.aws.amazon.com/prescriptive-guidance/latest/cloud-design-patterns/circuit-breaker.html
    """

    failure_rate: float | None = None
    outage_rate: float | None = None
    outage_calls: int | None = None
    slow_call_rate: float | None = None
    slow_after: Duration | None = None
    window: Duration | None = None
    minimum_calls: int | None = None
    recovery_time: Duration | None = None
    recovery_growth: float | None = None
    longest_recovery_time: Duration | None = None
    probes: int | None = None
    probe_lease: Duration | None = None
    successes_to_close: int | None = None
    cache_for: Duration | None = None
    ignored_errors: tuple[str, ...] = ()
    counted_errors: tuple[str, ...] = ()
    throttling_counts: bool = False

    def check(self, faults: Faults, typical_latency: float | None = None) -> None:
        """Note what is wrong with it.

        :param typical_latency: seconds that a call of this downstream takes
        """
        for limit in BREAKER:
            value = getattr(self, limit.prop.removeprefix("breaker."))
            if isinstance(value, Duration) and value.is_unresolved():
                # it becomes a number in the callers' environment, and a token would be nonsense there
                faults.add(limit.prop, "a token", "a duration known at synth", BREAKER_PAGE)
            else:
                faults.check(limit, _plain(value))
        shortest = _plain(self.recovery_time) or _DEFAULTS["recovery_time"] or 0
        longest = _plain(self.longest_recovery_time)
        if isinstance(longest, float) and isinstance(shortest, float | int) and longest < shortest:
            allowed = f"at least recovery_time, {shortest:g} seconds"
            faults.add("breaker.longest_recovery_time", longest, allowed, BREAKER_PAGE)
        lease = _plain(self.probe_lease)
        if isinstance(lease, float) and typical_latency is not None and lease < typical_latency:
            # Each probe would lose its place to the next one before it is done, and none would count.
            allowed = f"at least typical_latency, {typical_latency:g} seconds"
            faults.add("breaker.probe_lease", lease, allowed, BREAKER_PAGE)
        for prop in ("ignored_errors", "counted_errors"):
            names = getattr(self, prop)
            if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
                faults.add(f"breaker.{prop}", names, "names of exception classes", BREAKER_PAGE)

    def settings(self, typical_latency: float | None = None) -> Mapping[str, Any]:
        """What the callers' runtime is told of it: what is not as by default.

        :param typical_latency: seconds that a call of this downstream takes
        """
        told: dict[str, Any] = {
            _RUNTIME_NAMES.get(name, name): _plain(value)
            for name in _DEFAULTS
            if (value := getattr(self, name)) is not None
        }
        recovery = told.get("recovery_seconds")
        if isinstance(recovery, float) and "longest_recovery_seconds" not in told:
            told["longest_recovery_seconds"] = max(recovery, _DEFAULTS["longest_recovery_time"] or 0)
        if "lease_seconds" not in told:
            slow = told.get("slow_call_seconds", 0.0)
            wanted = max(_DEFAULTS["probe_lease"] or 0, _PROBE * (typical_latency or 0.0), slow)
            told["lease_seconds"] = min(wanted, _LONGEST_LEASE)
        return RuntimePolicy(
            **told,
            ignored_errors=tuple(self.ignored_errors),
            counted_errors=tuple(self.counted_errors),
            throttling_counts=self.throttling_counts,
        ).to_settings()


def _plain(value: object) -> object:
    # A number of calls given as 20.0 is 20: the runtime wants a whole number to be one.
    if isinstance(value, Duration):
        return value.to_milliseconds() / 1000
    return value
