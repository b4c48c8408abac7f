"""Which errors say that the downstream is not well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resilient_runtime.call import asks_for_less
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.reject import Reject
from resilient_runtime.slow_down import NoTurn

from .policy import BreakerPolicy

__all__ = ["counts_by", "counts_late"]

# A cancelled task and an interpreter that goes down tell nothing about whoever was being called.
_UNRELATED = ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "asyncio.exceptions.CancelledError")


def counts_by(policy: BreakerPolicy) -> Callable[[BaseException], bool]:
    """A function that says whether an exception counts as a failure of the downstream.

    Everything does, a ``DeadlineExceeded`` and a timeout among them, but for ``Reject`` (whoever says no to
    one order is well), a circuit's own refusal or a turn that was too far off, an answer 429 unless the
    policy counts it, and what the policy names.
    """
    ignored = frozenset((*policy.ignored_errors, *_UNRELATED))
    counted = frozenset(policy.counted_errors)
    known: dict[type[BaseException], bool] = {}

    def counts(error: BaseException) -> bool:
        kind = type(error)
        answer = known.get(kind)
        if answer is None:
            answer = known[kind] = _counts(kind, ignored, counted)
        # Not by its class: most clients raise the same one for 429 and 503.
        return answer and (policy.throttling_counts or not asks_for_less(error))

    return counts


def counts_late(path: Sequence[BaseException], policy: BreakerPolicy) -> bool:
    """Whether an answer that was told once its call was over counts as a failure.

    :param path: from what the handler raised to what carries the answer. One name that the policy ignores is
        enough for not counting, and one that it counts for counting: the handler may have given it either
    """
    names = {name for error in path for name in _names(type(error))}
    if names & {*policy.ignored_errors, *_UNRELATED}:
        return False
    if policy.counted_errors and not names & {*policy.counted_errors}:
        return False
    return policy.throttling_counts or not asks_for_less(path[-1])


def _counts(kind: type[BaseException], ignored: frozenset[str], counted: frozenset[str]) -> bool:
    if issubclass(kind, Reject | CircuitOpen | NoTurn):
        return False
    names = _names(kind)
    return not names & ignored and (not counted or bool(names & counted))


def _names(kind: type[BaseException]) -> set[str]:
    return {
        name for one in kind.__mro__ for name in (one.__qualname__, f"{one.__module__}.{one.__qualname__}")
    }
