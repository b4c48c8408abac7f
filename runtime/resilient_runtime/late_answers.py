"""What a downstream answered, told by an exception that was raised once its call was over.

``reply.raise_for_status()`` behind the block of ``call.downstream``: the call came back, so it passed for a
good one; only what the handler then raises says that it was none.
"""

from __future__ import annotations

from collections.abc import Collection

from .reject import Reject
from .slow_down import throttles

__all__ = ["path_to_answer"]

_DEEPEST, _WIDEST = 5, 10
_STATUSES = ("status", "status_code", "http_status")


def path_to_answer(
    error: BaseException | None, told: Collection[int] = (), *, deepest: int = _DEEPEST
) -> tuple[BaseException, ...]:
    """The exceptions from ``error`` to the one that carries an answer 5xx or 429; empty where none does.

    A handler may have caught that one and raised its own instead, so causes and contexts are followed. Not
    beyond a ``Reject``: whoever gives the message up has said what the answer means.

    :param told: the ids of exceptions that have left the block of a call, which has failed by them
    """
    path: list[BaseException] = []
    while error is not None and len(path) < deepest:
        if isinstance(error, Reject) or id(error) in told:
            break
        path.append(error)
        if _carries_answer(error):
            return tuple(path)
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions[:_WIDEST]:
                inner = path_to_answer(one, told, deepest=deepest - len(path))
                if inner:
                    return (*path, *inner)
        error = error.__cause__ or error.__context__
    return ()


def _carries_answer(error: BaseException) -> bool:
    try:
        return throttles(error) or _is_5xx(error) or _is_5xx(getattr(error, "last", None))
    except Exception:  # noqa: BLE001  an exception may break whoever looks at it; then it says nothing
        return False


def _is_5xx(ended: object) -> bool:
    response = getattr(ended, "response", None)
    if isinstance(response, dict):
        # botocore's ClientError, known by its shape
        return _in_range((response.get("ResponseMetadata") or {}).get("HTTPStatusCode"))
    if any(_in_range(getattr(holder, name, None)) for holder in (ended, response) for name in _STATUSES):
        return True
    # urllib.error.HTTPError, which is its own answer. Other codes are many things: an exit's, a driver's.
    return hasattr(ended, "headers") and _in_range(getattr(ended, "code", None))


def _in_range(status: object) -> bool:
    return isinstance(status, int) and 500 <= status <= 599
