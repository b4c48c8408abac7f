"""The open-loop driver, against servers that answer, dawdle, hang up and are not there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resilient_constructs.demo.drive import Driver
from resilient_constructs.demo.orders import Kind, Planned


class Door(BaseHTTPRequestHandler):
    """Answers as the body asks: a status, a pause before it, or no answer at all."""

    protocol_version = "HTTP/1.1"
    connections: set[int]
    headers_seen: list[dict[str, str]]

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.seen.append((self.client_address[1], dict(self.headers)))  # type: ignore[attr-defined]
        if body == "hang up":
            self.close_connection = True
            return
        if body == "leave":
            self.close_connection = True
            body = "202"
        if body.startswith("slow"):
            time.sleep(0.6)
            body = "202"
        answer = json.dumps({"message_id": "m", "correlation_id": self.headers["X-Correlation-Id"]}).encode()
        self.send_response(int(body))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def door() -> Iterator[tuple[str, list[tuple[int, dict[str, str]]]]]:
    """A server, with the connection and headers of each request it saw."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/orders", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asks(*bodies: str, every: float = 0.02) -> list[Planned]:
    """One request for each body."""
    return [
        Planned(at=n * every, kind=Kind.GOOD, correlation_id=f"id-{n}", body=body.encode())
        for n, body in enumerate(bodies)
    ]


def test_every_answer_is_recorded_with_its_ids() -> None:
    """Status, message ID and correlation ID of each answer are kept, whatever the status."""
    with door() as (url, seen):
        sent = sorted(Driver(url).drive(asks("202", "400", "429", "503")), key=lambda s: s.correlation_id)
    assert [answer.status for answer in sent] == [202, 400, 429, 503]
    assert [answer.answered_id for answer in sent] == ["id-0", "id-1", "id-2", "id-3"]
    assert {answer.message_id for answer in sent} == {"m"}
    assert seen[0][1]["Content-Type"] == "application/json"


def test_slow_answers_hold_up_nobody() -> None:
    """Ten requests that take 0.6 s each are all sent on time: the loop is open."""
    with door() as (url, _):
        sent = Driver(url).drive(asks(*["slow"] * 10))
    assert len(sent) == 10
    assert max(answer.late for answer in sent) < 0.3
    assert all(answer.ended - answer.at >= 0.6 for answer in sent)


def test_connections_are_kept_open() -> None:
    """One connection carries many requests."""
    with door() as (url, seen):
        Driver(url, connections=1).drive(asks(*["202"] * 8))
    assert len({connection for connection, _ in seen}) == 1


def test_a_closed_idle_connection_costs_no_answer() -> None:
    """Where the server closed a connection meanwhile, the next request is answered over a new one."""
    with door() as (url, _):
        sent = Driver(url, connections=1).drive(asks("leave", "202", every=0.3))
    assert [answer.status for answer in sent] == [202, 202]


def test_no_answer_is_unknown_and_never_sent_twice() -> None:
    """A connection that breaks after the request leaves an unknown outcome, and no second request."""
    with door() as (url, seen):
        (sent,) = Driver(url).drive(asks("hang up"))
    assert sent.status is None
    assert sent.error
    assert len(seen) == 1


def test_a_timeout_is_unknown() -> None:
    """Whoever is not answered in time does not know whether it was accepted."""
    with door() as (url, _):
        (sent,) = Driver(url, timeout=0.1).drive(asks("slow"))
    assert sent.status is None
    assert "timed out" in sent.error.lower() or "Timeout" in sent.error


def test_nobody_there_is_unknown() -> None:
    """A refused connection is recorded, not raised."""
    (sent,) = Driver("http://127.0.0.1:1/orders").drive(asks("202"))
    assert sent.status is None
    assert "refused" in sent.error.lower()


def test_halt_sends_nothing_more() -> None:
    """After a halt the rest is not sent, and what was sent is answered."""
    with door() as (url, _):
        driver = Driver(url)
        sent = driver.drive(
            asks("202", "202", every=30), tick=lambda elapsed: driver.halt() if elapsed > 0.2 else None
        )
    assert [answer.status for answer in sent] == [202]


def test_what_the_tick_raises_ends_the_drive() -> None:
    """An error in the tick reaches the caller at once, with no request under way left unread for."""

    def boom(_: float) -> None:
        raise LookupError("the system is gone")

    with door() as (url, _), pytest.raises(LookupError):
        Driver(url).drive(asks("202", "202", every=30), tick=boom)


@pytest.mark.parametrize("url", ["", "ftp://x/", "/orders", "http://"])
def test_only_http_urls_are_driven(url: str) -> None:
    """Anything but an http or https URL is refused by name."""
    with pytest.raises(ValueError, match="url is"):
        Driver(url)
