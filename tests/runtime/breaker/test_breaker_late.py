"""A failure that is told behind the block: ``reply.raise_for_status()`` once the call is over."""

from __future__ import annotations

from typing import Any

import pytest
from breaker_fleet import NAME, START, Fleet
from resilient_runtime import Call
from resilient_runtime.breaker import CircuitState, GuardedBoundary
from resilient_runtime.breaker.errors import counts_late
from resilient_runtime.breaker.policy import BreakerPolicy
from resilient_runtime.call import _Open
from resilient_runtime.clock import Clock


class AnswerError(Exception):
    """What a client raises at an answer, in the shape that requests and httpx give it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.response = type("Response", (), {"status_code": status, "headers": {}})()


def raise_(error: BaseException) -> None:
    """Raise it, from an expression."""
    raise error


class DeliveryFailedError(Exception):
    """What a handler makes of it."""


@pytest.mark.parametrize(
    ("policy", "path", "counts"),
    [
        ({}, (AnswerError(503),), True),
        ({}, (AnswerError(429),), False),
        ({"throttling_counts": True}, (AnswerError(429),), True),
        ({"ignored_errors": ("AnswerError",)}, (DeliveryFailedError(), AnswerError(503)), False),
        ({"ignored_errors": ("DeliveryFailedError",)}, (DeliveryFailedError(), AnswerError(503)), False),
        ({"counted_errors": ("AnswerError",)}, (DeliveryFailedError(), AnswerError(503)), True),
        ({"counted_errors": ("DeliveryFailedError",)}, (DeliveryFailedError(), AnswerError(503)), True),
        ({"counted_errors": ("DeliveryFailedError",)}, (DeliveryFailedError(), AnswerError(429)), False),
        ({"counted_errors": ("OSError",)}, (DeliveryFailedError(), AnswerError(503)), False),
    ],
    ids=lambda value: "-".join(str(one) for one in value) if isinstance(value, dict | tuple) else str(value),
)
def test_the_policy_says_what_counts(
    policy: dict[str, Any], path: tuple[BaseException, ...], counts: bool
) -> None:
    """By the name of the client's exception, or of the one that the handler made of it."""
    assert counts_late(path, BreakerPolicy(**policy)) is counts


class Messages:
    """One environment's boundary, message by message."""

    def __init__(self) -> None:
        self.fleet = Fleet(1)
        self.breaker = self.fleet.breakers[0]
        self.boundary = GuardedBoundary({NAME: self.breaker}, _Open())

    def call(self) -> Call:
        """A message whose time is the fleet's."""
        fleet = self.fleet
        clock = Clock(wall=lambda: START + fleet.now, ticks=lambda: fleet.now)
        return Call(boundary=self.boundary, clock=clock)

    def counted(self) -> tuple[int, int]:
        """Calls and failures that this environment has counted, told or not."""
        untold = self.breaker._view._tally._counts
        counts = [*self.fleet.store.read(NAME).counts.values(), *untold.values()]
        return sum(one.calls for one in counts), sum(one.failed for one in counts)


def test_only_the_latest_call_is_charged_and_only_once() -> None:
    """The calls before came back too, and the handler went on with their answers."""
    messages = Messages()
    for _ in range(3):
        call = messages.call()
        for _ in range(2):
            with call.downstream(NAME):
                pass
        messages.boundary.done(call, AnswerError(503))
        messages.boundary.done(call, AnswerError(503))
        messages.fleet.now += 6
    # The first good call was before anything failed, when nothing is counted.
    assert messages.counted() == (5, 3)


def test_an_answer_of_somebody_elses_is_not_charged_to_the_courier() -> None:
    """The last that was called is the one that answered."""
    messages = Messages()
    call = messages.call()
    with call.downstream(NAME):
        pass
    with call.downstream("Bank"):
        pass
    messages.boundary.done(call, AnswerError(503))
    assert messages.counted() == (0, 0)


def test_what_a_call_has_failed_by_is_not_charged_to_the_next_one() -> None:
    """A handler that falls back on another downstream fails there by itself, in the context of the first."""
    messages = Messages()
    call = messages.call()
    try:
        with call.downstream("Bank"):
            raise_(AnswerError(503))
    except AnswerError:
        with call.downstream(NAME):
            pass
        try:
            raise_(KeyError("no answer in it"))
        except KeyError as error:
            messages.boundary.done(call, error)
    assert messages.counted() == (0, 0)


def test_a_second_call_of_the_same_message_is_not_refused_for_the_first_ones_probe() -> None:
    """The handler goes on, so its first answer was good: the probe is brought home before it asks again."""
    messages = Messages()
    messages.fleet.open()
    messages.fleet.wait_for_recovery()
    call = messages.call()
    for _ in range(3):
        with call.downstream(NAME):
            pass
    messages.boundary.done(call, None)
    assert messages.fleet.state is CircuitState.CLOSED


def test_a_message_that_never_ends_keeps_nothing() -> None:
    """One call is in the balance at any time, however many are made."""
    messages = Messages()
    for _ in range(100):
        with messages.call().downstream(NAME):
            pass
    assert len(messages.boundary._unconfirmed) == 1
