"""What is wrong with a state's retriers and catchers.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["faults_of_handlers"]

_RETRIER = frozenset(
    {
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
        "Comment",
    }
)
_CATCHER = frozenset({"ErrorEquals", "Next", "Assign", "Output", "Comment"})
_MOST_SECONDS = 99_999_999
_LONGEST_DELAY = 31_622_400


def faults_of_handlers(state: Mapping[str, Any], where: str) -> Iterator[str]:
    """One sentence per fault."""
    for field, known in (("Retry", _RETRIER), ("Catch", _CATCHER)):
        handlers = state.get(field, [])
        for number, handler in enumerate(handlers):
            for unknown in sorted(handler.keys() - known):
                yield f"{where} has a {field} with {unknown}, which it must not have"
            errors = handler.get("ErrorEquals") or []
            if not errors:
                yield f"{where} has a {field} without ErrorEquals"
            if "States.ALL" in errors and (len(errors) > 1 or number < len(handlers) - 1):
                yield f"{where} has a {field} with States.ALL that is not alone and last"
            if field == "Catch" and "Next" not in handler:
                yield f"{where} has a Catch without Next"
            if field == "Retry":
                yield from _faults_of_retrier(handler, where)


def _faults_of_retrier(retrier: Mapping[str, Any], where: str) -> Iterator[str]:
    interval = retrier.get("IntervalSeconds", 1)
    longest = retrier.get("MaxDelaySeconds")
    if not _is_whole(interval, 1, _MOST_SECONDS):
        yield f"{where} retries after {interval!r}; allowed: whole seconds, 1 to 99,999,999"
    if not _is_whole(retrier.get("MaxAttempts", 3), 0, _MOST_SECONDS):
        yield f"{where} retries {retrier['MaxAttempts']!r} times; allowed: 0 to 99,999,999"
    if not retrier.get("BackoffRate", 2.0) >= 1:
        yield f"{where} has BackoffRate {retrier['BackoffRate']!r}; allowed: at least 1"
    if longest is not None and not _is_whole(longest, 1, _LONGEST_DELAY - 1):
        yield f"{where} has MaxDelaySeconds {longest!r}; allowed: 1 to 31,622,399"
    elif longest is not None and longest <= interval:
        yield f"{where} has MaxDelaySeconds {longest!r}; allowed: more than IntervalSeconds, {interval}"
    if retrier.get("JitterStrategy", "NONE") not in {"FULL", "NONE"}:
        yield f"{where} has JitterStrategy {retrier['JitterStrategy']!r}; allowed: FULL, NONE"


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
