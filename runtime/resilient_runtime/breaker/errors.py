"""Which errors say that the downstream is not well, and the one that a breaker raises itself."""

from __future__ import annotations

from collections.abc import Callable

from resilient_runtime.reject import Reject

from .circuit import CircuitState
from .policy import BreakerPolicy

__all__ = ["CircuitOpen", "counts_by"]

# A cancelled task and an interpreter that goes down tell nothing about whoever was being called.
_UNRELATED = ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "asyncio.exceptions.CancelledError")


# Not CircuitOpenError: it reads as a plain statement, as the other public names do.
class CircuitOpen(Exception):  # noqa: N818
    """The downstream was not called, because it would have failed. Nothing was spent on it.

    :ivar name: the downstream
    :ivar state: the circuit's state, as this environment knows it; CLOSED while an opening is being decided
    :ivar retry_after: seconds until another attempt is worth its while; None when only a person can tell
    :ivar reason: why the circuit is in this state
    """

    def __init__(self, name: str, state: CircuitState, retry_after: float | None, reason: str) -> None:
        when = "a person closes it" if retry_after is None else f"{retry_after:.1f} s from now"
        super().__init__(
            f"{name} was not called: its circuit is {state} until {when} ({reason or 'no reason'})"
        )
        self.name = name
        self.state = state
        self.retry_after = retry_after
        self.reason = reason


def counts_by(policy: BreakerPolicy) -> Callable[[BaseException], bool]:
    """A function that says whether an exception counts as a failure of the downstream.

    Everything does, a ``DeadlineExceeded`` and a timeout among them, but for ``Reject`` (whoever says no to
    one order is well), a circuit's own refusal, and what the policy names.
    """
    ignored = frozenset((*policy.ignored_errors, *_UNRELATED))
    counted = frozenset(policy.counted_errors)
    known: dict[type[BaseException], bool] = {}

    def counts(error: BaseException) -> bool:
        kind = type(error)
        answer = known.get(kind)
        if answer is None:
            answer = known[kind] = _counts(kind, ignored, counted)
        return answer

    return counts


def _counts(kind: type[BaseException], ignored: frozenset[str], counted: frozenset[str]) -> bool:
    if issubclass(kind, Reject | CircuitOpen):
        return False
    names = {
        name for one in kind.__mro__ for name in (one.__qualname__, f"{one.__module__}.{one.__qualname__}")
    }
    return not names & ignored and (not counted or bool(names & counted))
