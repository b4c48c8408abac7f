"""The courier on HTTP: loopback only, a thread per connection, gone with the process that started it."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from .courier import STATUS, Call, Courier, Outcome

__all__ = ["CourierServer"]


class CourierServer:
    """Serves a ``Courier`` as ``POST /deliveries``.

    A thread of this process and not a process of its own: it cannot be left behind. ``with`` starts and
    stops it.

    :param courier: who decides
    :param port: the port to listen on. Default: any free one
    :raises RuntimeError: when the port is taken
    """

    def __init__(self, courier: Courier, *, port: int = 0) -> None:
        self.courier = courier
        try:
            self._server = _Listener(("127.0.0.1", port), courier)
        except OSError as error:
            raise RuntimeError(
                f"CourierServer: port is {port}; allowed: a free port on 127.0.0.1, or 0 for any ({error})"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="courier", daemon=True
        )

    @property
    def url(self) -> str:
        """Where orders are posted to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/deliveries"

    def __enter__(self) -> CourierServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # server_close() would otherwise wait for keep-alive connections that the functions hold open.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], courier: Courier) -> None:
        self.courier = courier
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that was killed with its connection open: that is what the demo does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    # Headers and body leave in one packet: Nagle's algorithm and delayed ACK would add 40 ms to each call.
    disable_nagle_algorithm = True
    wbufsize = 16_384

    def do_POST(self) -> None:
        courier = self.server.courier
        at = courier.clock()
        key = self.headers.get("Idempotency-Key", "")
        reply = courier.decide(self._order(), key)
        if reply.after:
            time.sleep(reply.after)
        call = courier.record(
            Call(
                at=at,
                ended=courier.clock(),
                outcome=reply.outcome,
                key=key,
                correlation_id=self.headers.get("X-Correlation-Id", ""),
            )
        )
        self._answer(call.outcome, reply.retry_after)

    def _order(self) -> Any:
        try:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        except ValueError:
            return None

    def _answer(self, outcome: Outcome, retry_after: float | None) -> None:
        body = json.dumps({"outcome": outcome.value}).encode()
        try:
            self.send_response(STATUS[outcome])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if retry_after is not None:
                # Whole seconds, as RFC 9110 has them.
                self.send_header("Retry-After", str(math.ceil(retry_after)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            # The caller gave up waiting; what was decided stays decided, and is on record.
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class calls it so)
        """Keep quiet: the record of calls says more than an access log."""
