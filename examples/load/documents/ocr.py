"""An OCR service with a rate limit, on this machine: what the pages' analysis calls.

It reads the pictures that ``pdfs.py`` makes, answers 429 above its rate, and can be taken down.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["OcrServer"]


class OcrServer:
    """Serves ``POST /read``: a picture's grey pixels in, ``{"text": …}`` out. ``with`` starts and stops it.

    :param requests_per_second: calls it admits; above it answers 429
    :param seconds: how long it reads
    :ivar is_down: while true, every call is answered 503
    :ivar answers: how many calls got which status
    """

    def __init__(self, *, requests_per_second: float = 40.0, seconds: float = 0.1) -> None:
        self.is_down = False
        self.answers: Counter[int] = Counter()
        self._seconds = seconds
        self._rate = requests_per_second
        self._tokens = max(1.0, requests_per_second)
        self._at = time.monotonic()
        self._lock = threading.Lock()
        self._server = _Listener(("127.0.0.1", 0), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="ocr", daemon=True
        )

    @property
    def url(self) -> str:
        """Where pictures are posted to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/read"

    def __enter__(self) -> OcrServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def answer(self, grey: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers for one picture."""
        with self._lock:
            if self.is_down:
                status, wait = 503, 0.0
            else:
                wait = self._take(time.monotonic())
                status = 429 if wait > 0 else 200
            self.answers[status] += 1
        if status != 200:
            headers = {"Retry-After": str(math.ceil(wait))} if wait > 0 else {}
            return status, {"message": "try again later"}, headers
        time.sleep(self._seconds)
        return 200, {"text": grey.rstrip(b"\0").decode("ascii", "replace")}, {}

    def _take(self, now: float) -> float:
        """Admit one call, or say in how many seconds the next one is."""
        held = min(max(1.0, self._rate), self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens = held - 1 if held >= 1 else held
        return 0.0 if held >= 1 else (1 - held) / self._rate


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # server_close() would otherwise wait for connections that the functions keep open
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], ocr: OcrServer) -> None:
        self.ocr = ocr
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that ended with its connection open."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    disable_nagle_algorithm = True
    wbufsize = 16_384

    def do_POST(self) -> None:
        grey = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, answer, headers = self.server.ocr.answer(grey)
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing; the driver tells what happens."""
