"""How a breaker judges its downstream, and how it goes about recovery: numbers and names, nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["BreakerPolicy", "recovery_delay"]

# default bounds of each setting: (lowest, highest, unit); a rate is a share of calls
_RATE = (0.01, 1.0, "a share of the calls")
_BOUNDS: dict[str, tuple[float, float, str]] = {
    "failure_rate": _RATE,
    "outage_rate": _RATE,
    "slow_call_rate": _RATE,
    "slow_call_seconds": (0.001, 900, "seconds"),
    # a tenth of it must not be shorter than clocks are apart
    "window_seconds": (10, 3600, "seconds"),
    "minimum_calls": (1, 1_000_000, "calls"),
    "outage_calls": (1, 1_000_000, "calls"),
    "recovery_seconds": (0.1, 86_400, "seconds"),
    "recovery_growth": (1, 10, "times"),
    "longest_recovery_seconds": (0.1, 86_400, "seconds"),
    "probes": (1, 20, "calls at a time"),
    "lease_seconds": (1, 900, "seconds"),
    "successes_to_close": (1, 1000, "calls"),
    "cache_seconds": (0.1, 300, "seconds"),
}
_WHOLE = frozenset({"minimum_calls", "outage_calls", "probes", "successes_to_close"})
# Past this many openings in a row the delay is at its cap whatever the growth, and a power would overflow.
_MOST_GROWTH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerPolicy:
    """When a circuit opens and how it closes again. All calls of all environments are counted together.

    :param failure_rate: the share of failed calls in the window from which the circuit opens
    :param outage_rate: the share of the latest calls from which it opens whatever came before. So a sudden
        end does not have to outweigh half a minute of success
    :param outage_calls: how many of the latest calls that needs; fewer than ``minimum_calls`` will do, as
        chance hardly makes so many fail in a row
    :param slow_call_rate: the share of slow calls in the window from which it opens
    :param slow_call_seconds: how long a call that succeeds may take. Default: none is too slow
    :param window_seconds: how far back calls are counted. The window begins with the first failure: while
        nothing fails, nothing is counted and nothing is written
    :param minimum_calls: how many calls a judgement by the window's rates needs. By default so many that a
        downstream that always fails one call in five, and fails sooner than it succeeds, is not taken for
        dead when its first calls come in; with 20, it was in one start of eight of the reference experiment
    :param recovery_seconds: how long the circuit stays open at most before the first probe
    :param recovery_growth: how many times longer after each probe that failed
    :param longest_recovery_seconds: where that growth ends: the end of a long outage is noticed so much
        later at most. By default ten minutes cost eight probes; at 30 they cost twenty
    :param probes: how many calls may be under way at once while it is half open, all environments together
    :param lease_seconds: how long a probe may take before another environment may try. Longer than a good
        call takes: a probe that has lost its place says nothing, and if all do the circuit never closes
    :param successes_to_close: how many probes have to succeed
    :param cache_seconds: how old the shared state may be that an environment acts on
    :param ignored_errors: names of exception classes that say nothing about the downstream, such as
        ``requests.exceptions.InvalidURL`` or ``ValueError``; their subclasses too. ``Reject`` always is one
    :param counted_errors: names of the only exception classes that count. Default: all that are not ignored
    :param throttling_counts: whether an answer 429 counts as a failure. Default: it asks for fewer calls, and
        pacing gives it those; a circuit that opened for it would give none
    :raises ValueError: when a value is out of its range; all faults at once
    """

    failure_rate: float = 0.5
    outage_rate: float = 0.95
    outage_calls: int = 10
    slow_call_rate: float = 0.5
    slow_call_seconds: float | None = None
    window_seconds: float = 30
    minimum_calls: int = 40
    recovery_seconds: float = 15
    recovery_growth: float = 2
    longest_recovery_seconds: float = 120
    probes: int = 1
    lease_seconds: float = 30
    successes_to_close: int = 3
    cache_seconds: float = 5
    ignored_errors: tuple[str, ...] = ()
    counted_errors: tuple[str, ...] = ()
    throttling_counts: bool = False

    def __post_init__(self) -> None:
        faults = [fault for prop in _BOUNDS if (fault := _fault(prop, getattr(self, prop)))]
        if not faults and self.longest_recovery_seconds < self.recovery_seconds:
            faults.append(
                f"longest_recovery_seconds is {self.longest_recovery_seconds:g};"
                f" allowed: at least recovery_seconds ({self.recovery_seconds:g})"
            )
        # From JSON they arrive as lists, and a policy is compared and hashed.
        for prop in ("ignored_errors", "counted_errors"):
            names = getattr(self, prop)
            if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
                faults.append(f"{prop} is {names!r}; allowed: names of exception classes")
            else:
                object.__setattr__(self, prop, tuple(names))
        if not isinstance(self.throttling_counts, bool):
            faults.append(f"throttling_counts is {self.throttling_counts!r}; allowed: True or False")
        if faults:
            raise ValueError("BreakerPolicy: " + "; ".join(faults))

    def to_settings(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON has it: for ``DownstreamSettings.breaker``."""
        changed = {
            one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> BreakerPolicy:
        """The policy that ``to_settings`` was asked of.

        :raises ValueError: when it holds a name that no policy has, or a value out of its range
        """
        unknown = settings.keys() - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(
                f"BreakerPolicy: unknown {', '.join(sorted(unknown))}; deploy the function again"
            )
        return cls(**settings)


def recovery_delay(policy: BreakerPolicy, openings: int, random: float) -> float:
    """Seconds until the first probe after the ``openings``-th opening in a row.

    Jittered over the upper quarter, so that many circuits of one downstream do not probe it in step. Not over
    all of it: probes are elected, so there is no crowd to spread, and each one that comes early is lost.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    :param random: from 0 up to 1
    """
    grown = policy.recovery_seconds * policy.recovery_growth ** min(max(openings - 1, 0), _MOST_GROWTH)
    longest = min(policy.longest_recovery_seconds, grown)
    return longest * (0.75 + 0.25 * random)


def _fault(prop: str, value: object) -> str | None:
    low, high, unit = _BOUNDS[prop]
    if value is None and prop == "slow_call_seconds":
        return None
    whole = prop in _WHOLE
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if number and isinstance(value, int | float) and math.isfinite(value) and low <= value <= high:
        return None
    kind = "a whole number" if whole else "a number"
    return f"{prop} is {value!r}; allowed: {kind} from {low:g} to {high:g} {unit}"
