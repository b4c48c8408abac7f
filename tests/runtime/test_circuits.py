"""The breaker in a function's pipeline: what its messages become, and what is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lambda_events import App, Context, Ticking, batch_of, returned, sqs_record
from resilient_runtime import CircuitOpen, DeadlineExceeded, Reject, current_call
from resilient_runtime.breaker import Circuit, CircuitState, MemoryCircuits, order
from resilient_runtime.clock import Clock

COURIER = {"RESILIENT_DOWNSTREAMS": '[{"name":"Courier","breaker":{"outage_calls":3}},{"name":"Bank"}]'}
METRICS = {"Opened", "Closed", "CircuitRefused", "Held", "Failed", "DownstreamFailed"}


class Timed(Ticking):
    """Both clocks go together, a tenth of a second with each look at the ticks; sleep is kept, not slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Keep how long."""
        self.slept.append(seconds)

    @property
    def clock(self) -> Clock:
        """This clock as the runtime takes it."""
        return Clock(wall=lambda: 1_700_000_000 + self.now, ticks=self.ticks)


class Delivery:
    """A consumer whose courier can be down."""

    def __init__(self, store: MemoryCircuits | None = None, mode: str = "messages", **more: str) -> None:
        self.store = store or MemoryCircuits()
        self.error: BaseException | None = None
        self.begun: list[Any] = []
        self.clock = Timed()
        self.app = App(self.deliver, mode, clocked=self.clock, circuits=self.store, **{**COURIER, **more})

    def deliver(self, body: Any, call: Any) -> None:
        """Hand the order to the courier."""
        from resilient_runtime import current_call

        call = current_call()
        self.begun.append(body)
        with call.downstream("Courier"):
            if self.error is not None:
                raise self.error

    @property
    def circuit(self) -> Any:
        """What is stored."""
        return self.store.read("Courier").circuit

    def batch(self, *ids: str) -> list[str]:
        """Deliver messages; the ids of those that go back."""
        return returned(self.app(batch_of(*(sqs_record({"id": id_}, message_id=id_) for id_ in ids))))

    def open(self) -> None:
        """Let the courier fail until the circuit is open."""
        self.error = ConnectionError("no answer")
        for _ in range(40):
            self.batch("m-1")
            if self.circuit.state is CircuitState.OPEN:
                break
        else:
            raise AssertionError("it did not open")
        self.forget()

    def forget(self) -> None:
        """Begin to listen."""
        self.app.lines.clear()
        self.begun.clear()
        self.clock.slept.clear()

    def told(self, status: str) -> list[dict[str, Any]]:
        """The records of this status."""
        return [record for record in self.app.records if record["status"] == status]


def test_a_message_whose_call_is_refused_goes_back_and_has_not_failed() -> None:
    """One receive is all it cost; it leaves no stack, and has ended for the alarm on work that does not."""
    delivery = Delivery()
    delivery.open()

    assert delivery.batch("m-1") == ["m-1"]
    assert delivery.app.statuses() == ["STARTED", "CALLED", "HELD"]
    started, called, held = delivery.app.records
    assert (started["Started"], started["Held"], held["Held"]) == (1, 0, 1)
    assert held["reason"] == "circuit open: Courier is OPEN"
    assert "stack" not in held
    assert held["message_id"] == "m-1"
    assert called["outcome"] == "refused"


def test_a_refused_call_is_counted_by_downstream_and_has_no_duration() -> None:
    """A duration of nothing would pass for a courier that answers at once."""
    delivery = Delivery()
    delivery.open()
    delivery.batch("m-1")
    (called,) = delivery.told("CALLED")

    (directive,) = called["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["FunctionName", "Downstream"]]
    assert [one["Name"] for one in directive["Metrics"]] == ["CircuitRefused"]
    assert (called["CircuitRefused"], called["Downstream"], called["FunctionName"]) == (
        1,
        "Courier",
        "Delivery-1A2B",
    )
    assert called["correlation_id"] == "m-1"
    assert 0 < called["retry_in_s"] <= 15
    assert called["state"] == "OPEN"


def test_the_rest_of_a_batch_goes_back_untouched() -> None:
    """None of it has a chance while the circuit is open, so none of it is begun."""
    delivery = Delivery()
    delivery.open()

    assert delivery.batch("m-1", "m-2", "m-3") == ["m-1", "m-2", "m-3"]
    assert delivery.begun == [{"id": "m-1"}]
    assert delivery.app.statuses() == ["STARTED", "CALLED", "HELD", "HELD", "HELD"]
    untouched = delivery.told("HELD")[1:]
    assert [one["message_id"] for one in untouched] == ["m-2", "m-3"]
    assert {one["reason"] for one in untouched} == {
        "circuit open: an earlier message of this batch needed Courier"
    }
    assert all("_aws" not in one for one in untouched)


def test_each_batch_begins_its_first_message() -> None:
    """How else would a probe be made, or a message be done that does not need the courier."""
    delivery = Delivery()
    delivery.open()
    delivery.batch("m-1")
    delivery.batch("m-2")

    assert delivery.begun == [{"id": "m-1"}, {"id": "m-2"}]


def test_a_batch_goes_on_when_the_circuit_takes_calls_again() -> None:
    """The time to retry comes in the middle of a batch, and its messages are the probes."""
    delivery = Delivery()
    delivery.open()
    delivery.error = None
    handed = delivery.deliver

    def deliver(body: Any, call: Any) -> None:
        try:
            handed(body, call)
        finally:
            delivery.clock.now += 20

    delivery.app = App(deliver, clocked=delivery.clock, circuits=delivery.store, **COURIER)
    assert delivery.batch("m-1", "m-2", "m-3", "m-4") == ["m-1"]
    assert delivery.circuit.state is CircuitState.CLOSED


def test_a_refused_message_holds_back_its_group() -> None:
    """A FIFO queue's order is kept through an outage."""
    delivery = Delivery()
    delivery.open()
    event = batch_of(
        sqs_record(message_id="a-1", group="a"),
        sqs_record(message_id="a-2", group="a"),
        sqs_record(message_id="b-1", group="b"),
    )

    assert returned(delivery.app(event)) == ["a-1", "a-2", "b-1"]
    assert len(delivery.begun) == 1


def test_opening_and_closing_are_told_once_each() -> None:
    """By the environment that did it, with the reason, so that the fleet's sum is the number of outages."""
    delivery = Delivery()
    other = Delivery(delivery.store)
    delivery.error = ConnectionError("no answer")
    while delivery.circuit.state is CircuitState.CLOSED:
        delivery.batch("m-1")
    (opened,) = delivery.told("CIRCUIT")
    assert (opened["from"], opened["to"], opened["Opened"]) == ("CLOSED", "OPEN", 1)
    assert opened["reason"] == delivery.circuit.reason
    assert opened["version"] == delivery.circuit.version
    assert opened["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["FunctionName", "Downstream"]]

    delivery.forget()
    delivery.clock.now += 20
    delivery.batch("m-1")
    assert [one["to"] for one in delivery.told("CIRCUIT")] == ["HALF_OPEN", "OPEN"]
    assert not any(METRICS & one.keys() for one in delivery.told("CIRCUIT"))

    delivery.forget()
    delivery.clock.now += 40
    delivery.error = None
    for number in range(3):
        delivery.batch(f"m-{number}")
    half, closed = delivery.told("CIRCUIT")
    assert (half["to"], "_aws" in half) == ("HALF_OPEN", False)
    assert (closed["to"], closed["Closed"]) == ("CLOSED", 1)
    assert other.told("CIRCUIT") == []


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (ConnectionError("no answer"), True),
        (DeadlineExceeded("too long"), True),
        (Reject("no such address"), False),
    ],
)
def test_what_opens_a_circuit(error: BaseException, opens: bool) -> None:
    """A call that is interrupted is a failure like any other; a rejection says the courier is well."""
    delivery = Delivery()
    delivery.error = error
    for _ in range(60):
        delivery.batch("m-1")

    assert (delivery.circuit.state is not CircuitState.CLOSED) is opens


@pytest.mark.parametrize(("policy", "opens"), [("{}", False), ('{"throttling_counts":true}', True)])
def test_an_answer_429_counts_only_on_demand(policy: str, opens: bool) -> None:
    """Fewer calls are what it asks for, and pacing's matter; a circuit that opened would make none."""

    class TooManyRequests(Exception):  # noqa: N818  as a client of somebody else's names it
        class response:  # noqa: N801  an attribute, in the shape that requests and httpx give it
            status_code = 429

    delivery = Delivery(RESILIENT_DOWNSTREAMS=f'[{{"name":"Courier","breaker":{policy}}}]')
    delivery.error = TooManyRequests()
    for _ in range(60):
        delivery.batch("m-1")

    assert (delivery.circuit.state is not CircuitState.CLOSED) is opens
    assert {one["outcome"] for one in delivery.told("CALLED")} >= {"throttled"}


def test_a_probe_that_finds_no_time_gives_its_place_to_others() -> None:
    """The lease goes back at once, not when it runs out."""
    delivery = Delivery()
    delivery.open()
    delivery.clock.now += 20
    left = iter([60_000, 100])

    class Hurried(Context):
        def get_remaining_time_in_millis(self) -> int:
            return next(left, 100)

    delivery.app(batch_of(sqs_record()), Hurried())
    (failed,) = delivery.told("FAILED")
    assert failed["error"].startswith("TimeoutError: Courier was not called")
    assert delivery.circuit.state is CircuitState.HALF_OPEN
    assert delivery.circuit.leases == {}


def test_a_handler_may_do_without_the_courier() -> None:
    """Who catches the refusal and returns has completed the message."""
    delivery = Delivery()
    delivery.open()

    def deliver(body: Any, call: Any) -> None:
        with pytest.raises(CircuitOpen):
            delivery.deliver(body, call)

    app = App(deliver, clocked=delivery.clock, circuits=delivery.store, **COURIER)
    assert returned(app(batch_of(sqs_record(), sqs_record(message_id="m-2")))) == []
    assert app.statuses() == ["STARTED", "CALLED", "COMPLETED"] * 2


def test_in_mode_event_the_refusal_goes_on_to_lambda() -> None:
    """There is no queue to return to; whoever invoked it has to know."""
    delivery = Delivery()
    order(delivery.store, "Courier", CircuitState.FORCED_OPEN, now=0, reason="moving house", by="anna")
    app = App(delivery.deliver, "event", clocked=delivery.clock, circuits=delivery.store, **COURIER)

    with pytest.raises(CircuitOpen, match="moving house"):
        app({})
    assert app.statuses() == ["STARTED", "CALLED", "FAILED"]
    assert "retry_in_s" not in app.records[1]


def test_a_store_that_does_not_answer_is_told_once_and_costs_no_message() -> None:
    """Its outage is not ours; already the read at the start meets it."""

    class Away(MemoryCircuits):
        def read(self, name: str) -> Any:
            raise ConnectionError("no route to DynamoDB")

        count = change = read  # type: ignore[assignment]

    delivery = Delivery(Away())
    assert [delivery.batch(f"m-{number}") for number in range(5)] == [[]] * 5
    (broken,) = delivery.told("BROKEN")
    assert (broken["part"], broken["error"]) == ("circuit Courier", "ConnectionError: no route to DynamoDB")


def test_an_environment_knows_of_an_outage_before_its_first_call() -> None:
    """The circuit is read while the environment starts."""
    delivery = Delivery()
    delivery.open()
    other = Delivery(delivery.store)
    other.clock.now = delivery.clock.now
    other.error = ConnectionError("no answer")

    other.batch("m-1")
    assert [one["outcome"] for one in other.told("CALLED")] == ["refused"]


def test_a_downstream_without_a_breaker_is_called_as_ever() -> None:
    """Its failures open nothing, and its calls ask no store."""

    def deliver(body: Any, call: Any) -> None:
        with call.downstream("Bank"):
            raise ConnectionError("no answer")

    store = MemoryCircuits()
    app = App(deliver, circuits=store, **COURIER)
    for _ in range(60):
        app(batch_of(sqs_record()))

    assert set(app.statuses()) == {"STARTED", "CALLED", "FAILED"}


def test_a_breaker_needs_the_table_of_circuits() -> None:
    """It is told at the start, not at the first outage."""
    with pytest.raises(ValueError, match="RESILIENT_CIRCUITS_TABLE is not set"):
        App(lambda body, call: None, **COURIER)


def test_without_a_breaker_nothing_that_began_is_ever_held() -> None:
    """So the metric, which costs money, is not there."""
    app = App(lambda body, call: None)
    app(batch_of(sqs_record()))

    assert "Held" not in json.dumps(app.records)


class Hanging(MemoryCircuits):
    """Does not answer before the deadline who tells of a probe that went well."""

    def change(self, name: str, circuit: Any, **more: Any) -> Any:
        """Interrupted."""
        if circuit.successes:
            raise DeadlineExceeded("interrupted")
        return super().change(name, circuit, **more)


def test_a_message_is_done_although_the_deadline_comes_while_its_verdict_is_told() -> None:
    """The handler has returned: it must not be called again because the circuits' table hangs."""
    delivery = Delivery(Hanging())
    delivery.open()
    delivery.error = None
    delivery.clock.now += 20
    assert delivery.batch("m-1") == []
    assert delivery.app.statuses()[-1] == "COMPLETED"
    assert delivery.circuit.state is CircuitState.HALF_OPEN


def test_an_answer_is_given_although_the_deadline_comes_while_its_verdict_is_told() -> None:
    """Whoever waits for it gets what the function returned, not that its time was up."""

    def handle(event: Any, context: Any) -> str:
        call = current_call()
        assert call is not None
        with call.downstream("Courier"):
            return "delivered"

    store = Hanging()
    store.change("Courier", Circuit(state=CircuitState.OPEN, version=1, retry_at=0.0), before=Circuit())
    app = App(handle, "event", clocked=Timed(), circuits=store, **COURIER)
    assert app({}) == "delivered"
    assert app.statuses()[-1] == "COMPLETED"


def test_secrets_in_an_error_reach_neither_the_log_nor_the_table() -> None:
    """What a probe raised becomes the circuit's reason, for everybody to read."""
    delivery = Delivery()
    delivery.open()
    delivery.clock.now += 20
    delivery.error = ConnectionError("https://courier.example/?token=c0urier-s3cret-9 did not answer")
    delivery.batch("m-1")

    assert delivery.circuit.reason.startswith("a probe failed: ConnectionError: https://courier.example/")
    assert "s3cret" not in delivery.circuit.reason
    assert "s3cret" not in "".join(delivery.app.lines)
