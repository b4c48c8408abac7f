"""The example's handler, against the real courier server and no AWS."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import requests
from resilient_runtime import Call, Reject

from resilient_constructs.demo.courier import Courier, Manner, Outcome
from resilient_constructs.demo.server import CourierServer

HANDLER = Path(__file__).parents[2] / "examples" / "handlers" / "delivery"
ORDER = {"order_id": "o", "address": "1 Harbour Street"}
CALL = Call(correlation_id="c-1", idempotency_key="k-1")


@contextmanager
def delivery(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The handler's module, pointed at a courier."""
    with CourierServer(courier) as server:
        monkeypatch.setenv("COURIER_URL", server.url)
        monkeypatch.setenv("COURIER_TIMEOUT_SECONDS", "0.5")
        monkeypatch.syspath_prepend(str(HANDLER))
        sys.modules.pop("delivery", None)
        module = importlib.import_module("delivery")
        try:
            yield module
        finally:
            module.http.close()
            sys.modules.pop("delivery", None)


def test_an_order_is_delivered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second attempt under the same idempotency key is no second delivery."""
    courier = Courier(manner=Manner(failure_share=0, fastest=0, slowest=0))
    with delivery(courier, monkeypatch) as handler:
        handler.deliver(ORDER, CALL)
        handler.deliver(ORDER, CALL)
    assert [(call.outcome, call.key, call.correlation_id) for call in courier.seen()] == [
        (Outcome.DELIVERED, "k-1", "c-1"),
        (Outcome.REPEATED, "k-1", "c-1"),
    ]


def test_a_bad_address_is_rejected_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the courier refuses is poison: rejected, not retried."""
    with delivery(Courier(), monkeypatch) as handler, pytest.raises(Reject, match="refuses this address"):
        handler.deliver({"address": "nowhere"}, CALL)


@pytest.mark.parametrize("weather", ["failing", "down", "throttled", "slow"])
def test_bad_weather_is_no_poison(weather: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A courier that fails, is down, throttles or dawdles leaves the message to be tried again."""
    manners = {
        "failing": Manner(failure_share=1),
        "throttled": Manner(requests_per_second=0.01, burst=1),
        "slow": Manner(failure_share=0, fastest=2, slowest=2),
    }
    courier = Courier(manner=manners.get(weather, Manner()))
    if weather == "down":
        courier.down()
    if weather == "throttled":
        courier.decide(ORDER, "somebody else")
    with delivery(courier, monkeypatch) as handler, pytest.raises(requests.RequestException):
        handler.deliver(ORDER, CALL)
