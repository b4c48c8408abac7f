"""How many callers keep a downstream busy, and how often each of them may call: the arithmetic, as data.

Pure and small: the construct chooses by it and prints it, the forecast judges by it, and the environment is
given the outcome alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["HEADROOM", "Clash", "PacePlan", "plan_pace"]

HEADROOM = 1.5
"""How many more callers than Little's law asks for.

With exactly as many, every caller is always in a call, and each that takes longer than usual is a turn lost.
Waiting for turns is paid for, too. Measured with the reference experiment, 30 seeds:

| headroom | drain ÷ bound, median | worst | 429, worst | seconds of Lambda for a delivery |
|---|---|---|---|---|
| 1.0 | 1.059 | 1.069 | 1.6 % | 6.7 |
| 1.2 | 1.039 | 1.047 | 1.7 % | 7.7 |
| 1.5 | 1.027 | 1.037 | 1.3 % | 9.5 |
| 2.0 | 1.020 | 1.038 | 0.7 % | 12.4 |
"""

# What one SQS event source mapping can be held to.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_FEWEST, _MOST = 2, 1000


class Clash(NamedTuple):
    """Numbers that are legal and do not go together.

    :param slug: for the warning's id
    :param text: what will happen, with both numbers and the remedy
    """

    slug: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PacePlan:
    """How a downstream's rate is shared out. Made by ``plan_pace``.

    :param requests_per_second: what it takes from all callers together
    :param burst: calls it takes at once on top
    :param typical_latency: seconds that a call usually takes
    :param connections: callers it can have at once; None without such a limit
    :param headroom: how many more callers than Little's law asks for
    :param max_concurrency: callers at once
    """

    requests_per_second: float
    burst: float
    typical_latency: float
    connections: int | None
    headroom: float
    max_concurrency: int

    @property
    def busy(self) -> float:
        """Little's law: how many calls are under way when it works at its rate."""
        return self.requests_per_second * self.typical_latency

    @property
    def wanted(self) -> int:
        """Callers that keep it at its rate, before anything bounds them."""
        return _ceil(self.busy * self.headroom)

    @property
    def pace(self) -> float:
        """Calls a second of one environment."""
        return self.requests_per_second / self.max_concurrency

    @property
    def interval(self) -> float:
        """Seconds from one turn of an environment to its next."""
        return self.max_concurrency / self.requests_per_second

    @property
    def reached(self) -> float:
        """Calls a second that so many callers can make: the rate, or less where they are too few for it."""
        return min(self.requests_per_second, self.max_concurrency / self.typical_latency)

    def steps(self) -> tuple[str, ...]:
        """The arithmetic in words and numbers, one line a step."""
        rate, latency = self.requests_per_second, self.typical_latency
        lines = [
            f"{rate:g} requests/s × {latency:g} s = {self.busy:g} calls under way (Little's law)",
            f"× {self.headroom:g} so that a slow call costs no turn = {self.wanted} callers",
        ]
        if self.max_concurrency != self.wanted:
            lines.append(f"{self._bound()} → max concurrency {self.max_concurrency}")
        lines.append(
            f"{rate:g} requests/s ÷ {self.max_concurrency} callers = one call of each in {self.interval:g} s"
        )
        return tuple(lines)

    def metadata(self) -> Mapping[str, float | int | str | None]:
        """The same for a template's metadata: plain numbers by name."""
        return {
            "RequestsPerSecond": self.requests_per_second,
            "Burst": self.burst,
            "TypicalLatencySeconds": self.typical_latency,
            "Connections": self.connections,
            "Headroom": self.headroom,
            "MaxConcurrency": self.max_concurrency,
            "SecondsBetweenCalls": round(self.interval, 6),
            "Arithmetic": "; ".join(self.steps()),
        }

    def clashes(self, *, timeout: float | None = None) -> tuple[Clash, ...]:
        """What will not go as the numbers say.

        :param timeout: seconds of the calling function's timeout, where it is known
        """
        found = []
        if self.max_concurrency < _ceil(self.busy):
            found.append(
                Clash(
                    "too-few-callers",
                    f"{self.max_concurrency} callers that need {self.typical_latency:g} s for a call make at "
                    f"most {self.reached:g} calls/s, but {self.requests_per_second:g} are allowed: the "
                    f"downstream is never used to its limit. Allow {self.wanted} callers, or lower "
                    "typical_latency if calls are quicker",
                )
            )
        if timeout is not None and self.interval + self.typical_latency > timeout:
            found.append(
                Clash(
                    "turn-beyond-timeout",
                    f"an environment's turn comes every {self.interval:g} s and a call takes "
                    f"{self.typical_latency:g} s, but the function may run {timeout:g} s: messages go back "
                    f"uncalled and spend receives. Raise the timeout to "
                    f"{math.ceil(self.interval + self.typical_latency) + 1} s, or lower max_concurrency",
                )
            )
        return tuple(found)

    def _bound(self) -> str:
        if self.connections is not None and self.connections < self.wanted:
            return f"at most {self.connections} connections"
        if self.wanted > _MOST or self.wanted < _FEWEST:
            return f"an event source mapping allows {_FEWEST} to {_MOST:,}"
        return "as given"


def plan_pace(
    *,
    requests_per_second: float,
    burst: float | None = None,
    typical_latency: float = 1.0,
    connections: int | None = None,
    max_concurrency: int | None = None,
    headroom: float = HEADROOM,
) -> PacePlan:
    """Choose how many callers a downstream has at once, and with that the pace of each.

    :param requests_per_second: what it takes from all callers together
    :param burst: calls it takes at once on top. Default: one second's worth, at least one
    :param typical_latency: seconds that a call usually takes. Default: 1
    :param connections: callers it can have at once. Default: no such limit
    :param max_concurrency: callers at once, if that is not to be chosen. Default: Little's law and headroom,
        within the connections and the 2 to 1,000 that an event source mapping can be held to
    :raises ValueError: when a number is out of its range
    """
    faults = [
        f"{name} is {value!r}; allowed: above 0"
        for name, value in (
            ("requests_per_second", requests_per_second),
            ("typical_latency", typical_latency),
        )
        if not value > 0
    ]
    faults += [
        f"{name} is {value!r}; allowed: {low:g} or more"
        for name, value, low in (
            ("burst", burst, 1),
            ("connections", connections, 1),
            ("max_concurrency", max_concurrency, 1),
            ("headroom", headroom, 1),
        )
        if value is not None and not value >= low
    ]
    if faults:
        raise ValueError(f"plan_pace: {'; '.join(faults)}")
    chosen = max_concurrency
    if chosen is None:
        wanted = _ceil(requests_per_second * typical_latency * headroom)
        bound = wanted if connections is None else min(wanted, connections)
        chosen = max(_FEWEST, min(bound, _MOST))
    return PacePlan(
        requests_per_second=requests_per_second,
        burst=max(1.0, requests_per_second) if burst is None else burst,
        typical_latency=typical_latency,
        connections=connections,
        headroom=headroom,
        max_concurrency=chosen,
    )


def _ceil(value: float) -> int:
    # rounded first, so that 10/s × 0.3 s is 3 and not the 4 that binary fractions make of it
    return max(1, math.ceil(round(value, 6)))
