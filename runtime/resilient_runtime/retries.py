"""Trying again without making bad weather worse: capped waits with full jitter, a budget, a deadline.

    from resilient_runtime import Retry

    RETRY = Retry()

    def deliver(order, call):
        reply = RETRY.request(HTTP.request, "POST", URL, json=order, idempotency_key=call.idempotency_key)

Why each part is there: jitter over the whole wait keeps a thousand environments from coming back at the same
moment; a budget keeps retries from multiplying the load of whoever is down already; and a retry that cannot
end before the invocation does is only one more call that nobody waits for.
https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from .chance import uniform
from .clock import SYSTEM_CLOCK, Clock
from .retry_signs import IDEMPOTENT_METHODS, Sign, read_sign
from .time_left import seconds_left

__all__ = ["SHARED_BUDGET", "GaveUp", "Retry", "RetryBudget", "decide", "next_delay"]

P = ParamSpec("P")
T = TypeVar("T")

# 2 ** 1024 is no float any more; after this many attempts every wait is at its cap.
_MOST_DOUBLINGS = 64


# Not GaveUpError: it reads as what happened.
class GaveUp(Exception):  # noqa: N818
    """Every attempt that made sense was made; the last failure is the ``__cause__``, if it was an exception.

    :ivar attempts: how many attempts were made
    :ivar seconds: how long they and the waits between them took
    :ivar why: why there was no further one
    :ivar last: how the last one ended: the exception, or the answer
    :ivar throttled: whether the last answer was 429: whoever was called is well, and wants fewer calls
    """

    def __init__(
        self, what: str, *, attempts: int, seconds: float, why: str, last: object, sign: Sign
    ) -> None:
        tries = "attempt" if attempts == 1 else "attempts"
        how = sign.text or repr(last)
        super().__init__(f"{what}: gave up after {attempts} {tries} in {seconds:.1f} s: {why}; last: {how}")
        self.attempts = attempts
        self.seconds = seconds
        self.why = why
        self.last = last
        self.throttled = sign.kind == "throttled"


class RetryBudget:
    """How many retries one environment may spend: a bucket of tokens that successes fill.

    A retry takes a token; a call that succeeds returns a part of one. While all is well the bucket is full;
    in an outage it runs dry, and every call is made once. So there are never more retries than ``capacity``
    and ``per_success`` of the successes, however many calls fail.

    :param capacity: how many retries may be made in a row without any success. Default: 20
    :param per_success: how many tokens a success returns. Default: 0.1, a retry for ten successes
    :raises ValueError: when a number is below zero
    """

    def __init__(self, *, capacity: float = 20, per_success: float = 0.1) -> None:
        for name, value in (("capacity", capacity), ("per_success", per_success)):
            if not value >= 0:
                raise ValueError(f"RetryBudget: {name} is {value!r}; allowed: 0 tokens or more")
        self.capacity = capacity
        self.per_success = per_success
        self._tokens = float(capacity)
        self._lock = Lock()

    @property
    def tokens(self) -> float:
        """How many retries are left."""
        return self._tokens

    def take(self) -> bool:
        """Take a token for one retry; False when there is none."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def succeeded(self) -> None:
        """A call succeeded."""
        with self._lock:
            self._tokens = min(self.capacity, self._tokens + self.per_success)


SHARED_BUDGET = RetryBudget()
"""The budget of every policy that is given none of its own: one for the whole execution environment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When a call is made again, and after which wait.

    :param attempts: how many attempts there are at most, the first one included. Default: 4
    :param first_wait: seconds that the first wait is shorter than; doubled for each further one. Default: 0.1
    :param first_wait_throttled: the same after an answer 429, which asks to slow down. Default: 1
    :param longest_wait: seconds that every wait is shorter than, without what ``Retry-After`` adds.
        Default: 10
    :param longest_retry_after: seconds; a server that asks for a longer wait is not called again, for a call
        before its time would be refused too. Default: 30
    :param total: seconds that all attempts and waits together may take. Default: as long as the invocation
        has, less half a second to report in; outside of one, as long as the attempts last
    :param also: exceptions that are worth another attempt besides those of the network, such as
        ``psycopg.OperationalError``; never ``GaveUp``
    :param budget: what the retries are taken from. Default: one that all policies of the environment share
    :param clock: the time. Default: the machine's
    :param random: a number from 0 up to but not including 1. Default: by the operating system
    :param sleep: waits so many seconds. Default: ``time.sleep``
    :param left: seconds that the work in progress may still take, None for no end. Default: as the call in
        progress has it
    :raises ValueError: when a number is out of its range
    """

    attempts: int = 4
    first_wait: float = 0.1
    first_wait_throttled: float = 1.0
    longest_wait: float = 10.0
    longest_retry_after: float = 30.0
    total: float | None = None
    also: tuple[type[Exception], ...] = ()
    budget: RetryBudget = SHARED_BUDGET
    clock: Clock = SYSTEM_CLOCK
    random: Callable[[], float] = uniform
    sleep: Callable[[float], None] = time.sleep
    left: Callable[[], float | None] = seconds_left

    def __post_init__(self) -> None:
        faults = [] if self.attempts >= 1 else [f"attempts is {self.attempts!r}; allowed: 1 or more"]
        for name in ("first_wait", "first_wait_throttled", "longest_wait", "longest_retry_after", "total"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                faults.append(f"{name} is {value!r}; allowed: 0 seconds or more")
        if faults:
            raise ValueError(f"Retry: {'; '.join(faults)}")

    def within(self, seconds: float) -> Retry:
        """The same policy with this much time in all: ``RETRY.within(courier.timeout).request(…)``."""
        return replace(self, total=seconds if self.total is None else min(seconds, self.total))

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """As a decorator: the function is called with ``call``."""

        @wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(function, *args, **kwargs)

        return retried

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` until it succeeds. Give it only what may be done twice.

        :returns: what the function returned, unless that is an HTTP answer 429 or 5xx
        :raises GaveUp: when it went on failing, and another attempt was too many, too late or too much
        :raises Exception: what the function raised, unchanged, when another attempt would end the same
        """
        what = getattr(function, "__name__", type(function).__name__)
        return self._repeat(lambda: function(*args, **kwargs), what=what, repeatable=True)

    def request(
        self,
        send: Callable[..., T],
        method: str,
        url: str,
        *,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> T:
        """Send an HTTP request until it succeeds; ``send`` is a client's ``request``.

        A request that changes something is sent again only when it carries an ``Idempotency-Key``, or when
        the server certainly did nothing: it could not be reached, or answered 408, 425 or 429. GET, HEAD,
        OPTIONS, PUT, DELETE and TRACE may always be sent again.

        :param send: ``requests.Session().request``, ``httpx.Client().request``,
            ``urllib3.PoolManager().request``, or whatever is called like them
        :param idempotency_key: sent as ``Idempotency-Key``, the same with every attempt
        :param options: handed to ``send``
        :returns: the answer; 429 and 5xx only where the request may not be sent again
        :raises GaveUp: see ``call``
        :raises Exception: what the client raised, unchanged, when another attempt would end the same
        """
        sent = dict(headers or {})
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        keyed = any(name.lower() == "idempotency-key" for name in sent)
        return self._repeat(
            lambda: send(method, url, headers=sent, **options),
            what=f"{method} {_without_secrets(url)}",
            repeatable=keyed or method.upper() in IDEMPOTENT_METHODS,
        )

    def _repeat(self, once: Callable[[], T], *, what: str, repeatable: bool) -> T:
        began = self.clock.ticks()
        attempt = 0
        while True:
            attempt += 1
            ended, sign = self._attempt(once)
            if sign.kind == "done" or not (repeatable or sign.untouched):
                if isinstance(ended, _Raised):
                    raise ended.error
                if sign.kind == "done":
                    self.budget.succeeded()
                return ended
            took = self.clock.ticks() - began
            wait = decide(sign, attempt=attempt, policy=self, left=self._left(took))
            if not isinstance(wait, str) and not self.budget.take():
                wait = "the retry budget is used up, as too many calls have failed lately"
            if isinstance(wait, str):
                cause = ended.error if isinstance(ended, _Raised) else None
                last = ended if cause is None else cause
                raise GaveUp(what, attempts=attempt, seconds=took, why=wait, last=last, sign=sign) from cause
            self.sleep(wait)

    def _attempt(self, once: Callable[[], T]) -> tuple[T | _Raised, Sign]:
        # Only Exception: what ends the interpreter or the invocation is no failed attempt.
        try:
            result = once()
        except Exception as error:  # noqa: BLE001  judged, and raised again unless it passes
            sign = read_sign(error, now=self.clock.wall())
            # A policy within this one has tried already: attempts would multiply.
            wanted = isinstance(error, self.also) and not isinstance(error, GaveUp)
            if sign.kind == "done" and wanted:
                sign = Sign("failed", text=f"{type(error).__name__}: {error}"[:300])
            return _Raised(error), sign
        return result, read_sign(result, now=self.clock.wall())

    def _left(self, took: float) -> float | None:
        left = self.left()
        if self.total is not None:
            rest = self.total - took
            left = rest if left is None else min(left, rest)
        return left


class _Raised:
    """An attempt that ended with an exception; no function returns one of these."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def next_delay(
    attempt: int,
    policy: Retry,
    random: Callable[[], float],
    *,
    throttled: bool = False,
    retry_after: float | None = None,
) -> float:
    """Seconds to wait after this attempt failed.

    Full jitter: anything between nothing and the ceiling, for then the retries of many clients are spread
    best. What the server asked to wait comes first, and the jitter is added to it: it told all of them the
    same. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    :param attempt: how many attempts were made
    :param random: a number from 0 up to but not including 1
    """
    first = policy.first_wait_throttled if throttled else policy.first_wait
    ceiling = min(policy.longest_wait, first * float(1 << min(attempt - 1, _MOST_DOUBLINGS)))
    return (retry_after or 0.0) + random() * ceiling


def decide(sign: Sign, *, attempt: int, policy: Retry, left: float | None) -> float | str:
    """What follows a failed attempt: the seconds to wait before the next one, or why there is none.

    :param left: seconds that may still pass; None for as many as it takes
    """
    if attempt >= policy.attempts:
        return f"{policy.attempts} attempts are allowed"
    asked = sign.retry_after
    if asked is not None and asked > policy.longest_retry_after:
        return (
            f"the server asks to wait {asked:.0f} s, more than the {policy.longest_retry_after:g} s allowed"
        )
    wait = next_delay(attempt, policy, policy.random, throttled=sign.kind == "throttled", retry_after=asked)
    if left is not None and wait >= left:
        return f"the next wait of {wait:.1f} s does not fit into the {max(left, 0.0):.1f} s that are left"
    return wait


def _without_secrets(url: str) -> str:
    # Queries hold tokens, what stands before the host passwords, and messages end in logs.
    scheme, mark, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
