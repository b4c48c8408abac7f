"""Errors as a state machine has them, and which of them a retrier or a catcher is for.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["DATA_LIMIT", "QUERY", "RUNTIME", "TIMEOUT", "StatesError", "is_for"]

QUERY = "States.QueryEvaluationError"
DATA_LIMIT = "States.DataLimitExceeded"
TIMEOUT = "States.Timeout"
RUNTIME = "States.Runtime"

# "States.ALL can't catch the States.DataLimitExceeded terminal error or States.Runtime error types": the one
# has to be named, the other ends every execution.
_BEYOND_ALL = frozenset({DATA_LIMIT, RUNTIME})
_NEVER_CAUGHT = frozenset({RUNTIME})


class StatesError(Exception):
    """A state failed.

    :ivar name: what retriers and catchers look at
    :ivar cause: for people
    """

    def __init__(self, name: str, cause: str = "") -> None:
        super().__init__(f"{name}: {cause}")
        self.name = name
        self.cause = cause


def is_for(errors: Sequence[str], name: str) -> bool:
    """Whether a retrier or catcher with these ``ErrorEquals`` is for the error."""
    if name in _NEVER_CAUGHT:
        return False
    if name in errors:
        return True
    if name == "States.HeartbeatTimeout" and TIMEOUT in errors:
        return True
    if name in _BEYOND_ALL:
        return False
    # "States.TaskFailed matches any known error name except for States.Timeout."
    return "States.ALL" in errors or ("States.TaskFailed" in errors and name != TIMEOUT)
