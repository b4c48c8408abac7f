"""What all HTTP clients of this package have in common: their settings, and how long a request may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resilient_runtime.clock import Clock

__all__ = ["HttpSettings", "exhausted", "no_time", "shortest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpSettings:
    """How one HTTP client treats its connections; see ``Connections``."""

    name: str
    limit: int
    max_age: float
    check_after: float
    timeout: float
    clock: Clock
    random: Callable[[], float]
    left: Callable[[], float | None]

    def longest(self) -> float:
        """Seconds that a request begun now may take at most; zero or less when there is no time for one."""
        left = self.left()
        return self.timeout if left is None else left


def shortest(asked: float | None, longest: float) -> float:
    """The timeout that was asked for, where there is time for it."""
    return longest if asked is None else min(asked, longest)


def exhausted(settings: HttpSettings, host: str) -> str:
    """What is wrong when all connections to one host stay in use."""
    return (
        f"Connections: all {settings.limit} to {host} of {settings.name!r} are in use, and none came back in "
        f"time. A connection comes back when its answer has been read or closed; or raise "
        f"limit={settings.limit} of {settings.name!r}"
    )


def no_time(settings: HttpSettings, longest: float) -> str:
    """What is wrong when a request would outlive its invocation."""
    return (
        f"Connections: {settings.name!r} sent no request: {longest:.1f} s are left of this invocation or "
        "downstream call, after what is kept to report in"
    )
