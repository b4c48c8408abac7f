"""The breaker in a function's pipeline, where the handler looks at the answer behind the block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lambda_events import App, Ticking, batch_of, returned, sqs_record
from resilient_runtime import Reject, current_call
from resilient_runtime.breaker import CircuitState, MemoryCircuits
from resilient_runtime.clock import Clock


class AnswerError(Exception):
    """What a client raises at an answer, in the shape that requests and httpx give it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.response = type("Response", (), {"status_code": status, "headers": {}})()


class DeliveryFailedError(Exception):
    """What a handler makes of it."""


class Timed(Ticking):
    """Both clocks go together."""

    @property
    def clock(self) -> Clock:
        """This clock as the runtime takes it."""
        return Clock(wall=lambda: 1_700_000_000 + self.now, ticks=self.ticks)


class Delivery:
    """A consumer whose handler looks at the answer behind the block."""

    def __init__(self, mode: str = "messages", policy: str = "{}") -> None:
        self.store = MemoryCircuits()
        self.clock = Timed()
        self.answer: Callable[[], None] = lambda: None
        self.app = App(
            self.deliver,
            mode,
            clocked=self.clock,
            circuits=self.store,
            RESILIENT_DOWNSTREAMS=f'[{{"name":"Courier","breaker":{policy}}},{{"name":"Bank"}}]',
        )
        self.mode = mode

    def deliver(self, body: Any, _: Any) -> None:
        """Hand the order to the courier."""
        call = current_call()
        assert call
        with call.downstream("Courier"):
            pass
        self.answer()

    def answers(self, status: int) -> None:
        """From now on the courier answers with that."""
        self.answer = lambda: raise_(AnswerError(status))

    def once(self) -> None:
        """One message."""
        if self.mode == "messages":
            returned(self.app(batch_of(sqs_record())))
            return
        try:
            self.app({})
        except Exception:  # noqa: BLE001  it is Lambda's, and the circuit's refusals among it
            return

    @property
    def circuit(self) -> Any:
        """What is stored."""
        return self.store.read("Courier").circuit

    def until(self, state: CircuitState) -> int:
        """Deliver until the circuit is in this state; how many messages that took."""
        for number in range(1, 61):
            self.once()
            if self.circuit.state is state:
                return number
        raise AssertionError(f"it is {self.circuit.state}")


def raise_(error: BaseException) -> None:
    """Raise it, from an expression."""
    raise error


def turned() -> None:
    """Catch an answer 503 and raise something else."""
    try:
        raise_(AnswerError(503))
    except AnswerError as error:
        raise DeliveryFailedError("not delivered") from error


@pytest.fixture(params=["messages", "event"])
def delivery(request: pytest.FixtureRequest) -> Delivery:
    """A consumer, and a plain function."""
    return Delivery(request.param)


@pytest.mark.parametrize("answer", [lambda: raise_(AnswerError(503)), turned], ids=["as it is", "turned"])
def test_an_answer_5xx_behind_the_block_opens_the_circuit(
    delivery: Delivery, answer: Callable[[], None]
) -> None:
    """After as many calls as inside of it: each counts once, as a failure."""
    delivery.answer = answer
    delivery.until(CircuitState.OPEN)
    called = [one for one in delivery.app.records if one.get("outcome") == "succeeded"]
    assert len(called) == 10


@pytest.mark.parametrize("status", [400, 404, 429])
def test_any_other_answer_opens_nothing(delivery: Delivery, status: int) -> None:
    """What is wrong is the request, or there were too many."""
    delivery.answers(status)
    for _ in range(60):
        delivery.once()
    assert delivery.circuit.state is CircuitState.CLOSED


def test_neither_does_a_rejection_or_an_error_of_the_handlers_own(delivery: Delivery) -> None:
    """The courier is well."""
    for error in (Reject("no such address"), KeyError("address")):
        delivery.answer = lambda error=error: raise_(error)  # type: ignore[misc]
        for _ in range(30):
            delivery.once()
    assert delivery.circuit.state is CircuitState.CLOSED


def test_a_probe_whose_answer_was_5xx_does_not_close_the_circuit(delivery: Delivery) -> None:
    """Its block ended well, and it has failed: the circuit opens again, for longer."""
    delivery.answers(503)
    delivery.until(CircuitState.OPEN)
    opened = delivery.circuit
    delivery.clock.now += 20
    delivery.once()
    assert delivery.circuit.state is CircuitState.OPEN
    assert delivery.circuit.openings == opened.openings + 1
    assert delivery.circuit.reason.startswith("a probe failed: AnswerError")

    delivery.clock.now += 60
    delivery.answer = lambda: None
    assert delivery.until(CircuitState.CLOSED) == 3


def test_a_probe_that_is_answered_429_frees_its_place(delivery: Delivery) -> None:
    """It tells neither that the courier is well nor that it is not, as inside the block."""
    delivery.answers(503)
    delivery.until(CircuitState.OPEN)
    delivery.clock.now += 20
    delivery.answers(429)
    delivery.once()
    circuit = delivery.circuit
    assert (circuit.state, circuit.successes, circuit.leases) == (CircuitState.HALF_OPEN, 0, {})
