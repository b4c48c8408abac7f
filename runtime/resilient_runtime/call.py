"""What a handler may know about the work in its hands, and how it crosses a scalability boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol

from .clock import SYSTEM_CLOCK, Clock
from .reject import Reject
from .settings import DownstreamSettings

__all__ = [
    "Boundary",
    "Call",
    "Crossing",
    "UnknownDownstream",
    "active_call",
    "add_correlation_id",
    "asks_for_less",
    "current_call",
    "current_correlation_id",
    "outcome_of",
]

_LONGEST_INVOCATION_MS = 900_000
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


# Not UnknownDownstreamError: the public names of a handler read as plain statements.
class UnknownDownstream(LookupError):  # noqa: N818
    """The handler named a downstream that its function was not given."""


class Boundary(Protocol):
    """What happens around each call of one downstream; the seam for pacing and the circuit breaker."""

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Before the call: wait for a turn, or raise to refuse it."""

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """After a call that began: note how long it took and how it ended. Must not raise."""

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """A call that was let in does not begin after all: give its place to others. Must not raise."""

    def done(self, call: Call, error: BaseException | None) -> None:
        """The handler is done with its work; ``error`` is what it raised, if anything. Must not raise."""


class _Open:
    """A boundary that neither paces nor counts."""

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        pass

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        pass

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        pass

    def done(self, call: Call, error: BaseException | None) -> None:
        pass


_OPEN = _Open()


# Neither a dataclass, which would import inspect and ast (15 ms of every cold start), nor a named tuple: the
# pipeline fills it in as it reads the message.
class Call:
    """One delivery of one message (or, in mode ``event``, one invocation).

    Every field has a default, so that a handler's unit test can say ``deliver(order, Call())``.

    :param correlation_id: ties this work to the request it came from
    :param idempotency_key: the same whenever the same work is delivered again: the ``Idempotency-Key`` that a
        ``StorageFirstApi`` got from its client, else the EventBridge event's id, else
        the id of the SQS message as it was first sent, also after it was rejected or given up and sent back.
        Only a plain message that SQS's own redrive moved has a new id then, and with it a new key: one whose
        environment died in its last receive, that was put off in it, or that could not be stored.
        Of a stream's record its shard and sequence number instead; of a list, a digest of all of those.
        In mode ``event`` the key of the work that a workflow called with, if one did: the same each time
    :param message_id: the SQS message's id; None in mode ``event``
    :param attempt: how many times SQS has delivered this message, this time included. In mode ``event``
        always 1, because Lambda does not tell
    :param attributes: the message's attributes, as it was sent; binary ones as bytes
    :param event: the whole EventBridge event that the body was taken from, else None
    :param lane: ``urgent`` for a message of its consumer's urgent lane, else None
    :param request_id: the Lambda request that this is part of
    :param downstreams: by name, what the handler may call. Default: any name will do
    :param remaining: milliseconds until Lambda ends the invocation. Default: fifteen minutes
    :param margin_ms: milliseconds kept back from every downstream call, so that one that times out can still
        be told. Default: half a second; under the deadline guard, a little more than that one's margin
    :param crossing: the downstream call in progress, else the last one, for whoever tells what went on
    """

    __slots__ = (
        "attempt",
        "attributes",
        "boundary",
        "clock",
        "correlation_id",
        "crossing",
        "downstreams",
        "event",
        "idempotency_key",
        "lane",
        "margin_ms",
        "message_id",
        "remaining",
        "request_id",
    )

    def __init__(
        self,
        *,
        correlation_id: str = "none",
        idempotency_key: str = "none",
        message_id: str | None = None,
        attempt: int = 1,
        attributes: Mapping[str, str | bytes] | None = None,
        event: Mapping[str, Any] | None = None,
        lane: str | None = None,
        request_id: str = "",
        downstreams: Mapping[str, DownstreamSettings] | None = None,
        boundary: Boundary = _OPEN,
        remaining: Callable[[], int] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        margin_ms: int = 500,
        crossing: Crossing | None = None,
    ) -> None:
        self.correlation_id = correlation_id
        self.idempotency_key = idempotency_key
        self.message_id = message_id
        self.attempt = attempt
        self.attributes: Mapping[str, str | bytes] = {} if attributes is None else attributes
        self.event = event
        self.lane = lane
        self.request_id = request_id
        self.downstreams = downstreams
        self.boundary = boundary
        self.remaining = remaining
        self.clock = clock
        self.margin_ms = margin_ms
        self.crossing = crossing

    def __repr__(self) -> str:
        what = "" if self.message_id is None else f", message_id={self.message_id!r}, attempt={self.attempt}"
        return f"Call(correlation_id={self.correlation_id!r}{what})"

    def remaining_ms(self) -> int:
        """Milliseconds until Lambda ends this invocation, whatever it is doing then."""
        return _LONGEST_INVOCATION_MS if self.remaining is None else self.remaining()

    def downstream(self, name: str, *, timeout: float | None = None) -> Crossing:
        """Cross a scalability boundary: ``with call.downstream("Courier", timeout=12) as courier:``.

        Inside the block, give the HTTP client ``timeout=courier.timeout``, the seconds that are really left:
        the smaller of ``timeout`` and the invocation's remaining time, less a margin to report in. The call's
        duration and outcome become one record and its metrics.

        :param name: the name of a ``Downstream`` that this function was given
        :param timeout: the longest that this call may take, in seconds. Default: what the invocation has left
        :raises UnknownDownstream: when the function was given no downstream of this name
        :raises ValueError: when the timeout is not above zero
        :raises TimeoutError: on entering, when too little time is left to begin
        """
        known = self.downstreams
        if known is None:
            settings = DownstreamSettings(name=name)
        elif (found := known.get(name)) is not None:
            settings = found
        else:
            names = ", ".join(repr(one) for one in sorted(known)) or "none"
            raise UnknownDownstream(
                f"call.downstream({name!r}): this function knows {names}. "
                "Give its construct the Downstream, or correct the name."
            )
        if timeout is not None and not timeout > 0:
            raise ValueError(
                f"call.downstream({name!r}): timeout is {timeout!r}; allowed: more than 0 seconds"
            )
        return Crossing(self, settings, timeout)


class Crossing:
    """One call of one downstream, from entering the block to leaving it.

    :ivar name: the downstream's name
    :ivar timeout: seconds that the call may take; known once the block is entered
    :ivar wanted: the timeout that the handler asked for, None when it named none
    :ivar outcome: how it ended, None while it has not
    :ivar seconds: how long it took
    """

    __slots__ = ("_call", "_outer", "_settings", "_started", "outcome", "seconds", "timeout", "wanted")

    def __init__(self, call: Call, settings: DownstreamSettings, wanted: float | None) -> None:
        self._call = call
        self._settings = settings
        self.wanted = wanted
        self._started = 0.0
        self._outer: Crossing | None = None
        self.outcome: str | None = None
        self.seconds = 0.0
        self.timeout = wanted if wanted is not None else 0.0

    @property
    def name(self) -> str:
        """The downstream's name."""
        return self._settings.name

    def __enter__(self) -> Crossing:
        """Begin the call, or raise ``TimeoutError`` when too little time is left for one."""
        call = self._call
        # Waiting for a turn spends time, so what is left is asked for afterwards.
        call.boundary.enter(call, self._settings)
        try:
            margin = call.margin_ms
            left = call.remaining_ms() - margin
            if left <= 0:
                raise TimeoutError(  # noqa: TRY301
                    f"{self.name} was not called: {left + margin} ms are left of this invocation, "
                    f"and {margin} ms are kept to report in"
                )
        except BaseException:
            # Also when interrupted: a block that is not begun is never left.
            call.boundary.give_up(call, self._settings)
            raise
        self.timeout = left / 1000 if self.wanted is None else min(self.wanted, left / 1000)
        outer = call.crossing
        # Only what is still open, or a handler that makes a million calls would keep them all.
        self._outer = outer if outer is not None and outer.outcome is None else None
        self.outcome = None
        call.crossing = self
        self._started = call.clock.ticks()
        return self

    def so_far(self) -> float:
        """Seconds since the call began; how long it took, once it is over."""
        return self.seconds if self.outcome is not None else self._call.clock.ticks() - self._started

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call and record how it went; an exception goes on to the handler."""
        call = self._call
        self.seconds = call.clock.ticks() - self._started
        self.outcome = outcome_of(error)
        if self._outer is not None:
            if self._outer.outcome is None:
                call.crossing = self._outer
            self._outer = None
        call.boundary.leave(call, self._settings, self.seconds, error)


def outcome_of(error: BaseException | None) -> str:
    """How a downstream call ended: ``succeeded``, ``failed``, ``rejected`` (it said no), or ``throttled``."""
    if error is None:
        return "succeeded"
    # Whoever says no to one order is well, and so is who asks for fewer calls: neither must ever count
    # against the downstream.
    if isinstance(error, Reject):
        return "rejected"
    return "throttled" if asks_for_less(error) else "failed"


def asks_for_less(error: BaseException) -> bool:
    """Whether it is an answer 429: fewer calls are wanted, which is no outage."""
    from .slow_down import throttles  # late: most calls succeed

    try:
        return throttles(error)
    except Exception:  # noqa: BLE001  an exception may break whoever looks at it; then it is a failure
        return False


active_call: ContextVar[Call | None] = ContextVar("resilient_call", default=None)


def current_call() -> Call | None:
    """The call in progress, for code that is not handed one (mode ``event``, nested functions), else None.

    It follows ``asyncio`` tasks; a thread pool's threads start without it, as with every context variable.
    """
    return active_call.get()


def current_correlation_id() -> str | None:
    """The correlation id of the call in progress, or None outside of one."""
    call = active_call.get()
    return None if call is None else call.correlation_id


def add_correlation_id(record: Any) -> bool:
    """A logging filter that gives every log record its ``correlation_id``; it lets all of them pass.

    ``logging.getLogger().handlers[0].addFilter(add_correlation_id)`` puts the id into every line of Lambda's
    JSON logs; a Powertools logger takes it as ``logger.addFilter(add_correlation_id)``. It is a function, for
    a filter need not be a class, and so nothing here imports ``logging``.
    """
    record.correlation_id = current_correlation_id()
    return True
