"""Poison and weather: whom a failure tells against, with a downstream and its breaker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from lambda_events import returned
from resilient_runtime import Call
from resilient_runtime.breaker import BreakerPolicy, MemoryCircuits
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.breaker.store import CircuitStore, Record, Written
from resilient_runtime.breaker.window import Bucket
from stream_events import orders, stream_app

GUARDED = json.dumps(
    [
        {
            "name": "Courier",
            "breaker": BreakerPolicy(minimum_calls=3, outage_calls=3, recovery_seconds=120).to_settings(),
        }
    ]
)


def test_an_outage_makes_no_poison_and_the_batch_waits_in_its_place() -> None:
    """While the downstream fails, few calls are made, nothing is stored, and the batch goes on afterwards."""
    calls: list[float] = []

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            calls.append(app.clock.now)
            if app.clock.now < 20:
                raise ConnectionError("courier is away")

    app = stream_app(handle, seconds=60.0)
    assert returned(app(orders(*range(1, 21)))) == []
    assert app.poison.entries == []
    assert len([one for one in calls if one < 20]) <= 5 + 12


def test_an_outage_that_outlasts_the_invocation_sends_the_batch_back_at_its_first_record() -> None:
    """At the end of its time the batch says where to go on; nothing is stored and nothing is passed."""

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            raise ConnectionError("courier is away")

    app = stream_app(handle, seconds=30.0)
    assert returned(app(orders(*range(1, 21)))) == [f"{1:056d}"]
    assert app.poison.entries == []
    assert app.clock.now > 15
    assert app.records[-1]["status"] == "HELD"


def test_a_record_that_only_the_downstream_refuses_is_poison_when_others_pass() -> None:
    """A record whose call fails each time, while others' succeed, is poison and not weather."""

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            if order["order"] == 2:
                raise ConnectionError("500")

    app = stream_app(handle)
    assert returned(app(orders(1, 2, 3, 4, 5))) == []
    assert [entry["partition_key"] for entry in app.poison.entries] == ["k2"]
    assert app.poison.entries[0]["reason"] == "it failed twice while others succeeded"


def test_an_answer_that_is_told_behind_the_block_is_the_weathers_too() -> None:
    """A handler that raises for a 503 once its call is over does not make poison of an outage."""

    class Unavailable(Exception):  # noqa: N818
        status_code = 503

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            pass
        raise Unavailable

    app = stream_app(handle)
    assert returned(app(orders(*range(1, 6)))) == [f"{1:056d}"]
    assert app.poison.entries == []


def test_a_downstream_that_wants_fewer_calls_makes_no_poison() -> None:
    """An answer 429 holds the batch, however often it comes for the same record."""

    class TooMany(Exception):  # noqa: N818
        throttled = True

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            if order["order"] == 2:
                raise TooMany

    app = stream_app(handle)
    assert returned(app(orders(1, 2, 3))) == [f"{2:056d}"]
    assert app.poison.entries == []


def test_without_a_downstream_any_failure_may_be_the_weather() -> None:
    """A handler whose calls are not seen is not believed that a failure is its record's own."""

    def handle(order: dict[str, Any], call: Call) -> None:
        raise ConnectionError("away")

    app = stream_app(handle, downstreams="[]")
    assert returned(app(orders(1, 2, 3))) == [f"{1:056d}"]
    assert app.poison.entries == []


def test_an_open_circuit_holds_the_batch_without_a_call() -> None:
    """Once the breaker refuses, no more is called, and the shard goes on where it was refused."""
    made: list[int] = []

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            made.append(order["order"])
            raise ConnectionError("away")

    app = stream_app(handle, seconds=60.0, circuits=MemoryCircuits(), downstreams=GUARDED)
    assert returned(app(orders(*range(1, 40)))) == [f"{1:056d}"]
    assert len(made) <= 5
    assert app.poison.entries == []


class _NoTable(MemoryCircuits):
    """Circuits whose table does not answer."""

    def read(self, name: str) -> Record:
        raise ConnectionError("the table is away")

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        raise ConnectionError("the table is away")

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        raise ConnectionError("the table is away")


def _disabled() -> MemoryCircuits:
    circuits = MemoryCircuits()
    disabled = Circuit(state=CircuitState.DISABLED, version=1, reason="a trial")
    circuits.change("Courier", disabled, before=Circuit())
    return circuits


@pytest.mark.parametrize("circuits", [_NoTable(), _disabled()], ids=["its table is away", "it is disabled"])
def test_the_silence_of_a_breaker_that_cannot_refuse_is_no_proof(circuits: CircuitStore) -> None:
    """In an outage that no breaker can tell, what fails all the time is kept waiting, and is no poison."""

    def handle(order: dict[str, Any], call: Call) -> None:
        with call.downstream("Courier"):
            raise ConnectionError("away")

    app = stream_app(handle, seconds=600.0, circuits=circuits, downstreams=GUARDED)
    assert returned(app(orders(1, 2, 3))) == [f"{1:056d}"]
    assert app.statuses().count("FAILED") > 100
    assert app.poison.entries == []
