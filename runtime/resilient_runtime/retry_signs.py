"""What an answer or an exception says about trying again, whichever HTTP client it comes from.

No client is imported for it: exceptions are known by their class's name and package, answers by their shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

__all__ = ["IDEMPOTENT_METHODS", "Sign", "read_sign", "seconds_of"]

IDEMPOTENT_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
"""https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2"""

_TOO_MANY_REQUESTS = 429
# Not done, and not because of the server's state: it waited for the request in vain, or fears a replay.
_NOT_BEGUN = frozenset({408, 425})
# No weather: the server will never know how.
_NEVER = frozenset({501, 505, 511})

_PASSING = frozenset(
    {
        "builtins.ConnectionError",
        "builtins.TimeoutError",
        "http.HTTPException",
        "httpx.TransportError",
        "requests.ChunkedEncodingError",
        "requests.ConnectionError",
        "requests.Timeout",
        "socket.gaierror",
        "urllib3.MaxRetryError",
        "urllib3.ProtocolError",
        "urllib3.TimeoutError",
    }
)
# Nothing was sent, so nothing can have been done.
_NOT_SENT = frozenset(
    {
        "builtins.ConnectionRefusedError",
        "httpx.ConnectError",
        "httpx.ConnectTimeout",
        "httpx.PoolTimeout",
        "requests.ConnectTimeout",
        "resilient_runtime.NotReached",
        "socket.gaierror",
        "urllib3.ConnectTimeoutError",
        "urllib3.NewConnectionError",
    }
)
# A certificate that is wrong now is wrong in a second; a full pool has waited already; an address that no
# client can read gets no better.
_LASTING = frozenset(
    {
        "http.InvalidURL",
        "httpx.ProxyError",
        "httpx.UnsupportedProtocol",
        "requests.InvalidURL",
        "requests.ProxyError",
        "requests.SSLError",
        "resilient_runtime.PoolExhausted",
        "ssl.SSLCertVerificationError",
        "urllib3.SSLError",
    }
)


class Sign(NamedTuple):
    """What one attempt's end says.

    :param kind: ``done`` is final, be it good or bad; ``throttled`` asks to slow down and says nothing about
        the server's health; ``failed`` does
    :param untouched: whether the other side certainly did nothing, so that any request may be sent again
    :param retry_after: seconds that the server asked to wait
    :param text: in a few words, for the error message
    """

    kind: Literal["done", "throttled", "failed"]
    untouched: bool = False
    retry_after: float | None = None
    text: str = ""


_DONE = Sign("done")


def read_sign(ended: object, *, now: float) -> Sign:
    """What an exception, or what a function returned, says about trying again.

    Understood are answers and exceptions of ``requests``, ``httpx``, ``urllib3`` and the standard library.
    Everything else is final: an unknown exception is a bug as likely as bad weather.

    :param now: seconds since 1970, for a ``Retry-After`` that is a date
    """
    status = _status_of(ended)
    if status is not None:
        return _sign_of_status(status, ended, now)
    if not isinstance(ended, BaseException):
        return _DONE
    names = frozenset(name for error in _causes(ended) for name in _names(error))
    if names & _LASTING or not names & _PASSING:
        return _DONE
    return Sign("failed", untouched=bool(names & _NOT_SENT), text=f"{type(ended).__name__}: {ended}"[:300])


def seconds_of(retry_after: str | None, *, now: float) -> float | None:
    """The wait that a ``Retry-After`` header asks for: seconds or a date; None when it is neither.

    https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        # 400 digits are valid and no float
        return float(text) if len(text) < 16 else float("inf")
    at = _date(text)
    return None if at is None else max(0.0, at - now)


def _date(text: str) -> float | None:
    if not text:
        return None
    from email.utils import parsedate_to_datetime  # 10 ms; few servers send a date

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError, OSError):
        return None


def _status_of(ended: object) -> int | None:
    response = getattr(ended, "response", None) if isinstance(ended, BaseException) else ended
    # requests and httpx; urllib3 and http.client; urllib.error.HTTPError is its own answer
    for holder, name in ((response, "status_code"), (response, "status"), (ended, "code")):
        value = getattr(holder, name, None)
        # a bool is an int, and a function may well return an object whose status is True
        if type(value) is int and hasattr(holder, "headers"):
            return value
    return None


def _sign_of_status(status: int, ended: object, now: float) -> Sign:
    if status in _NOT_BEGUN:
        return Sign("failed", untouched=True, text=f"HTTP {status}")
    if status != _TOO_MANY_REQUESTS and (status < 500 or status in _NEVER):
        return _DONE
    response = getattr(ended, "response", None)
    headers: Any = getattr(response, "headers", None) or getattr(ended, "headers", None) or {}
    asked = headers.get("Retry-After")
    if asked is not None and not asked.isdecimal():
        # A date is by the server's clock, and ours may be wrong; most answers tell the time there.
        now = _date(headers.get("Date") or "") or now
    wait = seconds_of(asked, now=now)
    throttled = status == _TOO_MANY_REQUESTS
    return Sign("throttled" if throttled else "failed", throttled, wait, f"HTTP {status}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps: requests keeps urllib3's as its argument, urllib3 the reason."""
    current: object = error
    for _ in range(4):
        if not isinstance(current, BaseException):
            return
        yield current
        inner = getattr(current, "reason", None) or (current.args[0] if current.args else None)
        current = inner


def _names(error: BaseException) -> Iterator[str]:
    for kind in type(error).__mro__:
        yield f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
