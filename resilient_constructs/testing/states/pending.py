"""What an execution waits for: a task's answer, or a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import TIMEOUT, StatesError

__all__ = ["Pending", "TaskCall", "Waiting"]

_Answer = Callable[["Any", "StatesError | None"], None]


@dataclass(kw_only=True, eq=False)
class Pending:
    """Something that an execution cannot go on without.

    :ivar state: the state's name
    :ivar entered_at: when the state was entered, in wall-clock seconds
    """

    state: str
    entered_at: float
    _answer: _Answer = field(repr=False)
    is_over: bool = False

    def _end(self, result: Any, error: StatesError | None) -> None:
        if self.is_over:
            raise RuntimeError(f"{self.state} has its answer already, or its execution is over")
        self.is_over = True
        self._answer(result, error)


@dataclass(kw_only=True, eq=False)
class TaskCall(Pending):
    """A Task state's call of its resource; the test is the resource.

    :ivar arguments: what ``Arguments`` came to
    :ivar attempt: 0, or how often a retrier has tried it again
    :ivar timeout_seconds: after which AWS would give up on it; None when the definition has none
    """

    resource: str
    arguments: Any
    attempt: int
    timeout_seconds: int | None
    heartbeat_seconds: int | None
    credentials: Any

    def succeed(self, result: Any) -> None:
        """The resource gave this back."""
        self._end(result, None)

    def fail(self, error: str, cause: str = "") -> None:
        """The resource, or its platform, reported an error."""
        self._end(None, StatesError(error, cause))

    def time_out(self, error: str = TIMEOUT) -> None:
        """It took longer than ``TimeoutSeconds``, or was silent for ``HeartbeatSeconds``."""
        if self.timeout_seconds is None and self.heartbeat_seconds is None:
            raise RuntimeError(f"{self.state} has no timeout: it would wait for a year")
        self._end(None, StatesError(error, f"{self.state} timed out"))


@dataclass(kw_only=True, eq=False)
class Waiting(Pending):
    """A Wait state, or the delay before a retrier tries again.

    :ivar until: wall-clock seconds
    :ivar is_retry: whether it is a retrier's delay
    """

    until: float
    is_retry: bool = False

    def wake(self) -> None:
        """The moment has come, whatever the clock says."""
        self._end(None, None)
