"""A storage-first API in a thread, which fails in the ways it is told to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    port: int


@dataclass
class Answer:
    """How one request is answered.

    :param lost: whether the message is stored, and the connection cut before the answer
    :param cut: whether the connection is cut before anything
    :param hangs: whether there is no answer until the test is over
    """

    status: int = 202
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    cut: bool = False
    hangs: bool = False


def problem(status: int, title: str, detail: str, *, headers: dict[str, str] | None = None) -> Answer:
    """An answer as the API's templates write it."""
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, members, {"Content-Type": "application/problem+json", **(headers or {})})


class AcceptingApi:
    """An API on this machine, in ``with``; it stores what it accepts in ``stored``."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.stored: list[dict[str, str]] = []
        self.over = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                api._take(self)

            def do_PUT(self) -> None:
                api._take(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            """One that is quiet about clients that hang up."""

            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/prod"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(handler.path, headers, body, handler.client_address[1]))
        answer = self.answers.pop(0) if self.answers else Answer()
        if answer.hangs:
            self.over.wait(10)
        if answer.status == 202 and not answer.cut:
            self.stored.append({"key": headers["idempotency-key"], "body": body.decode()})
        if answer.cut or answer.lost:
            handler.close_connection = True
            return
        said = answer.body
        if said is None:
            said = {"message_id": f"m-{len(self.stored)}", "correlation_id": headers["x-correlation-id"]}
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def __enter__(self) -> AcceptingApi:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
