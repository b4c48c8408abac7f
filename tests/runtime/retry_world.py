"""A world without waiting for retries: time that passes on demand, answers and failures in a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from resilient_runtime import Retry, RetryBudget
from resilient_runtime.clock import Clock

NOON = 1_800_000_000.0


@dataclass
class Answer:
    """An HTTP answer in the shape of requests and httpx."""

    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class World:
    """Time that passes only while somebody sleeps or works, and what was done in it."""

    def __init__(self, left: float | None = None) -> None:
        self.now = 0.0
        self.end = left
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waits.append(seconds)
        self.now += seconds

    def left(self) -> float | None:
        """Seconds until the end of the world."""
        return None if self.end is None else self.end - self.now

    def retry(self, **options: Any) -> Retry:
        """A policy that lives in this world, with a budget of its own."""
        return Retry(
            **{
                "clock": Clock(wall=lambda: NOON + self.now, ticks=lambda: self.now),
                "sleep": self.sleep,
                "left": self.left,
                "random": lambda: 0.5,
                "budget": RetryBudget(),
                **options,
            }
        )


def ending(*ends: object, takes: float = 0, world: World | None = None) -> Callable[..., Any]:
    """A function that ends like this, call by call; the last end goes on for ever."""
    left = list(ends)

    def function(*args: object, **kwargs: object) -> Any:
        if world is not None:
            world.now += takes
        end = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(end, BaseException):
            raise end
        return end

    return function


def refused() -> OSError:
    """What connecting to a port that nobody listens on raises."""
    return ConnectionRefusedError(111, "refused")
