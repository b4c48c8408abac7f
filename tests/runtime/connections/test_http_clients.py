from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from resilient_runtime.clock import Clock
from resilient_runtime.connections import Connections
from resilient_runtime.retry_signs import read_sign

KINDS = ["urllib3", "requests", "httpx"]


class Site:
    """A web site that remembers over which connections it was asked."""

    def __init__(self) -> None:
        site = self
        self.ports: list[int] = []
        self.hangs_up = False
        self.answer = threading.Event()
        self.answer.set()
        self.arrived = threading.Semaphore(0)
        self.open: set[int] = set()

        class Page(BaseHTTPRequestHandler):
            """Answers when it may."""

            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                site.open.add(self.client_address[1])
                super().setup()

            def finish(self) -> None:
                super().finish()
                site.open.discard(self.client_address[1])

            def do_GET(self) -> None:
                site.ports.append(self.client_address[1])
                site.arrived.release()
                site.answer.wait(10)
                if site.hangs_up:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            """One that is quiet about clients that hang up."""

            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site on this machine."""
    made = Site()
    yield made
    made.answer.set()
    made.server.shutdown()
    made.server.server_close()


class Client:
    """One of the clients, asked in the same way."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.paused = 0.0
        self.left: float | None = None
        clock = Clock(wall=lambda: time.time() + self.paused, ticks=lambda: time.perf_counter() + self.paused)
        self.group = Connections(
            clock=clock, random=lambda: 0.0, left=lambda: self.left, on_recycle=lambda close: None
        )
        self.client: Any = getattr(self.group, kind)(name="courier", **options)

    def get(self, url: str, **options: Any) -> int:
        """The status of an answer that was read."""
        answer = self.client.request("GET", url, **options)
        return int(getattr(answer, "status_code", None) or answer.status)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Makes a client of each kind."""
    return lambda **options: Client(request.param, **options)


def test_a_connection_is_kept(site: Site, make: Callable[..., Client]) -> None:
    """Requests that follow each other share a connection."""
    client = make()
    assert [client.get(site.url) for _ in range(3)] == [200] * 3
    assert len(set(site.ports)) == 1


def test_a_request_that_was_cut_is_sent_once(site: Site, make: Callable[..., Client]) -> None:
    """The client itself tries nothing again: that is Retry's, and each of its attempts would be many."""
    site.hangs_up = True
    with pytest.raises(Exception) as raised:  # noqa: PT011  each client has its own
        make().get(site.url)
    assert read_sign(raised.value, now=0).kind == "failed"
    assert len(site.ports) == 1


def test_after_a_pause_a_connection_is_not_trusted(site: Site, make: Callable[..., Client]) -> None:
    """What was left alone for longer than servers wait is closed, and the request goes over another."""
    client = make()
    client.get(site.url)
    client.paused += 4
    client.get(site.url)
    client.paused += 6
    client.get(site.url)
    assert site.ports[0] == site.ports[1] != site.ports[2]


def test_an_old_connection_is_replaced(site: Site, make: Callable[..., Client]) -> None:
    """However busy it is, a connection ends at its maximum age, so that its name is looked up again."""
    client = make(max_age=10)
    for _ in range(4):
        client.get(site.url)
        client.paused += 4
    assert site.ports[0] == site.ports[2] != site.ports[3]


@pytest.mark.parametrize("asked", [{}, {"timeout": 60}])
def test_a_request_ends_with_its_invocation(
    site: Site, make: Callable[..., Client], asked: dict[str, Any]
) -> None:
    """Whatever timeout it was given, a request is given up when the invocation must be done."""
    client = make()
    client.left = 0.3
    site.answer.clear()
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)timed out|timeout") as raised:
        client.get(site.url, **asked)
    assert time.monotonic() - began < 3
    assert read_sign(raised.value, now=0).kind == "failed"


def test_a_shorter_timeout_is_kept(site: Site, make: Callable[..., Client]) -> None:
    """There may be a minute left; who asked for a fifth of a second gets it."""
    client = make()
    client.left = 60
    site.answer.clear()
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
        client.get(site.url, timeout=0.2)
    assert time.monotonic() - began < 3


def test_without_time_nothing_is_sent(site: Site, make: Callable[..., Client]) -> None:
    """A request that nobody could wait for is not begun, and the error says so in the client's own class."""
    client = make()
    client.left = -0.1
    with pytest.raises(Exception, match=r"'courier' sent no request: -0.1 s are left") as raised:
        client.get(site.url)
    sign = read_sign(raised.value, now=0)
    assert (sign.kind, sign.untouched) == ("failed", True)
    assert site.ports == []


def test_connections_are_bounded(site: Site, make: Callable[..., Client]) -> None:
    """Past the limit a request waits for a connection, and the error names the limit and how to raise it."""
    client = make(limit=1)
    site.answer.clear()
    thread = threading.Thread(target=client.get, args=(site.url,))
    thread.start()
    assert site.arrived.acquire(timeout=10)
    client.left = 0.3
    began = time.monotonic()
    with pytest.raises(Exception, match=r"all 1 to 127.0.0.1 of 'courier' are in use.* raise limit=1"):
        client.get(site.url)
    assert time.monotonic() - began < 3
    site.answer.set()
    client.left = None
    assert client.get(site.url) == 200
    thread.join(10)
    assert len(set(site.ports)) == 1


def test_everything_is_closed_on_a_recycle(site: Site, make: Callable[..., Client]) -> None:
    """The other side sees the connection end; and the next request opens a new one."""
    client = make()
    client.get(site.url)
    assert len(site.open) == 1
    client.group.close()
    until = time.monotonic() + 10
    while site.open and time.monotonic() < until:
        time.sleep(0.01)
    assert site.open == set()
    assert client.get(site.url) == 200


def test_a_request_under_way_outlives_a_recycle(site: Site, make: Callable[..., Client]) -> None:
    """Closing waits for nobody and breaks nothing: a connection in use is closed when its answer has come."""
    client, statuses = make(), []
    site.answer.clear()
    thread = threading.Thread(target=lambda: statuses.append(client.get(site.url)))
    thread.start()
    assert site.arrived.acquire(timeout=10)
    client.group.close()
    site.answer.set()
    thread.join(10)
    assert statuses == [200]
    until = time.monotonic() + 10
    while site.open and time.monotonic() < until:
        time.sleep(0.01)
    assert site.open == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_number_is_named(kind: str) -> None:
    """A client that could never send anything is refused when it is made."""
    with pytest.raises(ValueError, match=r"'courier': limit is 0; .*timeout is -1"):
        Client(kind, limit=0, timeout=-1)


def test_outside_of_an_invocation_a_request_has_an_end_too(site: Site, make: Callable[..., Client]) -> None:
    """Where no invocation limits a request, the client's own timeout does."""
    client = make(timeout=0.3)
    site.answer.clear()
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
        client.get(site.url)
    assert time.monotonic() - began < 3
