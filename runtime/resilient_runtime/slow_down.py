"""``SlowDown``, and every other way in which an exception says that a downstream wants fewer calls.

A handler need not translate anything: ``reply.raise_for_status()`` of ``requests`` or ``httpx`` at a 429 is
understood, and so are AWS's own throttling errors. ``SlowDown`` is for whoever has no such exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Asked", "NoTurn", "SlowDown", "asked_in", "throttles"]

_TOO_MANY_REQUESTS = 429
_DEEPEST, _WIDEST = 5, 10

_STATUSES = ("status", "status_code", "code", "http_status")

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_AWS_THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


# Not called SlowDownError: it reads as what the downstream said, ``raise SlowDown(retry_after=30)``.
class SlowDown(Exception):  # noqa: N818
    """The downstream asks for fewer calls: the message returns, and this environment calls less often.

    Raise it where a client tells of a 429 in a way of its own. Best inside the block of ``call.downstream``,
    so that the right downstream is spared; raised later, it counts for the last one that was called.

    :param reason: what was said, for the FAILED record. Default: that the downstream asks for fewer calls
    :param retry_after: seconds that it asked to wait; the message returns no sooner, and nothing is called
        before. Default: not told
    :raises ValueError: when ``retry_after`` is below zero
    """

    # Read where calls are counted: it is an answer of a downstream that is well.
    throttled = True

    def __init__(self, reason: str = "", *, retry_after: float | None = None) -> None:
        if retry_after is not None and not retry_after >= 0:
            raise ValueError(f"SlowDown: retry_after is {retry_after!r}; allowed: 0 seconds or more")
        asked = "" if retry_after is None else f", in {retry_after:g} s"
        super().__init__(reason or f"the downstream asks for fewer calls{asked}")
        self.retry_after = retry_after


class NoTurn(SlowDown):
    """The next turn to call is too far off to wait for it: the message goes back until then, uncalled.

    :param name: the downstream
    :param wait: seconds until the turn
    """

    def __init__(self, name: str, wait: float) -> None:
        self.name = name
        self.wait = wait
        super().__init__(
            f"{name} was not called: its next turn is in {wait:.1f} s, longer than this invocation can wait",
            retry_after=wait,
        )


class Asked(NamedTuple):
    """That a downstream asked for fewer calls.

    :param retry_after: seconds that it asked to wait; None when it did not say
    :param uncalled: whether it was not even called, and this environment's own pace asks for the wait
    """

    retry_after: float | None
    uncalled: bool = False


def asked_in(error: BaseException, *, now: float) -> Asked | None:
    """Whether an exception, or one that it was raised from, says that the downstream wants fewer calls.

    A 429 does, and so does any answer with a ``Retry-After`` that means trouble (503). An exception that
    breaks whoever looks at it says nothing.

    :param now: seconds since 1970, for a ``Retry-After`` that is a date
    """
    for one in _chain(error, _DEEPEST):
        try:
            asked = _asked_by(one, now)
        except Exception:  # noqa: BLE001, S112  it is somebody else's, and its message must go back
            continue
        if asked is not None:
            return asked
    return None


def _chain(error: BaseException | None, deepest: int) -> Iterator[BaseException]:
    while error is not None and deepest:
        yield error
        deepest -= 1
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions[:_WIDEST]:
                yield from _chain(one, deepest)
        error = error.__cause__ or error.__context__


def throttles(error: BaseException) -> bool:
    """Whether an exception is itself a downstream's word that it wants fewer calls: 429, or a code of AWS's.

    What it was raised from does not count: whoever is called instead, and fails, has failed.

    :raises Exception: whatever the exception raises that is looked at
    """
    # Our own SlowDown, GaveUp and Throttled say so.
    if getattr(error, "throttled", False) is True:
        return True
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        # botocore's ClientError, known by its shape: importing botocore would cost 150 ms.
        code = str((response.get("Error") or {}).get("Code", "")).rpartition("#")[2]
        about = response.get("ResponseMetadata") or {}
        return code in _AWS_THROTTLES or about.get("HTTPStatusCode") == _TOO_MANY_REQUESTS
    return any(
        getattr(holder, name, None) == _TOO_MANY_REQUESTS
        for holder in (error, response)
        for name in _STATUSES
    )


def _asked_by(error: BaseException, now: float) -> Asked | None:
    if isinstance(error, SlowDown):
        return Asked(error.retry_after, uncalled=isinstance(error, NoTurn))
    from .retry_signs import read_sign  # late: it is only for what failed

    # GaveUp keeps how its last attempt ended: an exception, or an answer that is none.
    for ended in (error, getattr(error, "last", None)):
        sign = read_sign(ended, now=now)
        if sign.kind == "throttled" or (sign.kind == "failed" and sign.retry_after is not None):
            return Asked(sign.retry_after)
    if throttles(error):
        return Asked(_wait_of(error, now))
    # urllib3's own retries end with this text and keep no answer.
    if "too many 429 error responses" in str(getattr(error, "reason", "")):
        return Asked(None)
    return None


def _wait_of(error: BaseException, now: float) -> float | None:
    from .retry_signs import seconds_of

    response = getattr(error, "response", None)
    if isinstance(response, dict):
        headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
        return seconds_of(headers.get("retry-after"), now=now)
    asked = getattr(error, "retry_after", None)
    if asked is None:
        told: Any = getattr(error, "headers", None)
        asked = told.get("Retry-After") if hasattr(told, "get") else None
    if isinstance(asked, int | float):
        return float(asked) if asked >= 0 else None
    return seconds_of(asked, now=now) if isinstance(asked, str) else None
