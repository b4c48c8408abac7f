"""The slow, failing courier, and its HTTP server."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from resilient_constructs.demo.courier import Call, Courier, Manner, Outcome
from resilient_constructs.demo.server import CourierServer

ORDER = {"address": "1 Harbour Street"}
CALM = Manner(failure_share=0, fastest=0, slowest=0)


def ask(courier: Courier, order: Any = ORDER, key: str = "k") -> Outcome:
    """Ask and have the answer recorded."""
    reply = courier.decide(order, key)
    return courier.record(Call(at=0, ended=0, outcome=reply.outcome, key=key)).outcome


def post(url: str, body: bytes, **headers: str) -> tuple[int, http.client.HTTPMessage, dict[str, str]]:
    """Post one order: status, headers, answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=5)
    try:
        connection.request(
            "POST", parts.path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())
    finally:
        connection.close()


def test_one_admitted_call_in_five_fails() -> None:
    """Over many calls a fifth of the admitted ones fail, and the rest are delivered."""
    now = 0.0
    courier = Courier(seed=1, clock=lambda: now)
    seen: Counter[Outcome] = Counter()
    for number in range(5000):
        now += 0.2
        seen[ask(courier, key=str(number))] += 1
    assert set(seen) == {Outcome.DELIVERED, Outcome.FAILED}
    assert 0.17 < seen[Outcome.FAILED] / 5000 < 0.23


def test_the_eleventh_call_at_once_is_throttled() -> None:
    """Ten calls at one moment are admitted, the eleventh gets 429 and the time to wait."""
    courier = Courier(manner=CALM, clock=lambda: 0.0)
    assert [ask(courier, key=str(n)) for n in range(10)] == [Outcome.DELIVERED] * 10
    reply = courier.decide(ORDER, "11")
    assert reply.outcome is Outcome.THROTTLED
    assert reply.retry_after == pytest.approx(0.1)


def test_a_known_key_is_not_delivered_again() -> None:
    """The second call under one idempotency key is answered from memory and recorded as a repetition."""
    courier = Courier(manner=CALM, clock=lambda: 0.0)
    assert [ask(courier), ask(courier)] == [Outcome.DELIVERED, Outcome.REPEATED]


def test_of_two_deliveries_under_way_one_counts() -> None:
    """Two calls under one key that overlap leave one delivery and one repetition."""
    courier = Courier(manner=CALM, clock=lambda: 0.0)
    replies = [courier.decide(ORDER, "k"), courier.decide(ORDER, "k")]
    ends = [courier.record(Call(at=0, ended=1, outcome=reply.outcome, key="k")).outcome for reply in replies]
    assert ends == [Outcome.DELIVERED, Outcome.REPEATED]


@pytest.mark.parametrize("address", ["nowhere", "Nowhere 7", "", "  ", None, 7])
def test_poison_is_refused_whatever_the_weather(address: object) -> None:
    """An address that cannot be found is refused, never failed, however often it is tried."""
    now = 0.0
    courier = Courier(manner=Manner(failure_share=1), clock=lambda: now)
    for _ in range(20):
        now += 1
        assert ask(courier, {"address": address}) is Outcome.REFUSED


def test_an_outage_answers_503_and_is_remembered() -> None:
    """Between down and up every call is turned away, and the outage stands in the record."""
    now = 10.0
    courier = Courier(manner=CALM, clock=lambda: now)
    courier.down()
    courier.down()
    assert ask(courier) is Outcome.DOWN
    now = 25.0
    courier.up()
    assert ask(courier) is Outcome.DELIVERED
    assert courier.outages == [(10.0, 25.0)]


def test_the_same_seed_makes_the_same_weather() -> None:
    """Two couriers with one seed answer the same calls alike."""

    def answers() -> list[Outcome]:
        now = 0.0
        courier = Courier(seed=3, clock=lambda: now)
        seen = []
        for number in range(100):
            now += 1
            seen.append(ask(courier, key=str(number)))
        return seen

    assert answers() == answers()


def test_capacity_and_time_in_service_follow_from_the_manner() -> None:
    """Ten calls a second, a fifth failing at once, make eight deliveries a second and 0.32 s in service."""
    assert Manner().capacity == pytest.approx(8)
    assert Manner().mean_time_in_service == pytest.approx(0.32)


@pytest.mark.parametrize(
    "wrong", [{"failure_share": 1.1}, {"failure_share": -0.1}, {"fastest": 2, "slowest": 1}, {"fastest": -1}]
)
def test_an_impossible_manner_is_refused(wrong: dict[str, float]) -> None:
    """A share that is none, or latencies out of order, are refused by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Manner(**wrong)


def test_http_statuses_tell_the_outcome() -> None:
    """Over HTTP a delivery is 200, poison 422, an outage 503, nonsense 400."""
    courier = Courier(manner=CALM)
    with CourierServer(courier) as server:
        good = json.dumps(ORDER).encode()
        assert post(server.url, good, Idempotency_Key="a", X_Correlation_Id="c")[0] == 200
        assert post(server.url, b'{"address": "nowhere"}', Idempotency_Key="b")[0] == 422
        assert post(server.url, b"{", Idempotency_Key="c")[0] == 400
        assert post(server.url, good)[0] == 400
        courier.down()
        assert post(server.url, good, Idempotency_Key="d")[0] == 503
    assert courier.seen()[0].outcome is Outcome.DELIVERED
    assert courier.seen()[0].correlation_id == "c"


def test_http_429_says_when_to_come_back() -> None:
    """A throttled call carries Retry-After in whole seconds."""
    courier = Courier(manner=Manner(requests_per_second=0.1, burst=1, failure_share=0, fastest=0, slowest=0))
    with CourierServer(courier) as server:
        post(server.url, json.dumps(ORDER).encode(), Idempotency_Key="a")
        status, headers, answer = post(server.url, json.dumps(ORDER).encode(), Idempotency_Key="b")
    assert (status, answer) == (429, {"outcome": "throttled"})
    assert 1 <= int(headers["Retry-After"]) <= 10


def test_a_caller_who_hangs_up_is_still_delivered() -> None:
    """What was decided stays on record when the caller gives up waiting."""
    courier = Courier(manner=Manner(failure_share=0, fastest=0.2, slowest=0.2))
    with CourierServer(courier) as server:
        body = json.dumps(ORDER).encode()
        with socket.create_connection(("127.0.0.1", int(urlsplit(server.url).port or 0))) as caller:
            caller.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
        status, _, answer = 0, None, {}
        for _ in range(20):
            status, _, answer = post(server.url, body, Idempotency_Key="k")
            if answer["outcome"] == "repeated":
                break
    assert status == 200
    assert answer == {"outcome": "repeated"}


def test_a_caller_that_is_killed_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """A connection that is reset under the courier is none of the user's business."""
    with CourierServer(Courier(manner=CALM)) as server:
        for _ in range(5):
            caller = socket.create_connection(("127.0.0.1", int(urlsplit(server.url).port or 0)))
            # closing with this option set resets the connection, as the death of its process does
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(b"POST / HT")
            caller.close()
        post(server.url, json.dumps(ORDER).encode(), Idempotency_Key="k")
        serving = [thread for thread in threading.enumerate() if "process_request" in thread.name]
        for thread in serving:
            thread.join(5)
    assert capfd.readouterr().err == ""


def test_the_courier_is_reached_from_this_machine_only() -> None:
    """It listens on the loopback interface alone."""
    with CourierServer(Courier()) as server:
        port = urlsplit(server.url).port
        listening = [
            each.laddr
            for each in psutil.Process().net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
    assert [each.ip for each in listening] == ["127.0.0.1"]


def test_a_taken_port_is_named() -> None:
    """A port in use gives one clear error with the port in it."""
    with CourierServer(Courier()) as first:
        port = int(urlsplit(first.url).port or 0)
        with pytest.raises(RuntimeError, match=f"port is {port}"):
            CourierServer(Courier(), port=port)
