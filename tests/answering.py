"""A service on a free port, whose status codes a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["answering"]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Callers are killed in these tests; that they hang up is what is wanted."""


@contextmanager
def answering(answer: Callable[[str], int]) -> Iterator[int]:
    """A service until the block ends; its port.

    :param answer: the status for a path, without its first slash
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(answer(self.path.strip("/")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
