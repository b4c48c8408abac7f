"""Stands in for AWS's emulator where that cannot run: the same HTTP interface, a worker of ours behind it.

Run by its path: ``plain.py serve LISTENER TIMEOUT WORKER-COMMAND…`` answers invocations on a listening socket
that it inherits and starts the worker, again and again; ``work MODULE.FUNCTION`` calls the handler. What
differs from Lambda: there is no Runtime API, so nothing that talks to it itself works here (extensions, what
leans on the interface client's private parts).
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

__all__ = ["main", "work"]

_CHANNEL = "RESILIENT_SOAK_CHANNEL"
_LENGTH = 8
_READY = b"ready"


def main() -> None:
    """Serve or work, as the command line says."""
    if sys.argv[1] == "work":
        work(sys.argv[2])
    else:
        serve(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])


def serve(listener: int, timeout: float, command: list[str]) -> None:
    """Answer invocations one after the other, as one execution environment does."""
    runtime = _Runtime(command, timeout)

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # one packet per answer: a second one would wait for the acknowledgement of the first

        def do_POST(self) -> None:
            status, body, figures = runtime.invoke(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Figures", figures)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("", 0), Endpoint, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=listener)
    server.serve_forever()


class _Runtime:
    """The worker's process, started anew when it has ended."""

    def __init__(self, command: list[str], timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._failed_start = b""

    def invoke(self, event: bytes) -> tuple[int, bytes, str]:
        """One invocation: HTTP status, body, and what the worker says of itself."""
        request_id = str(uuid.uuid4())
        if self._process is None:
            self._start()
        if self._failed_start:
            self._end()
            return 200, self._failed_start, ""
        assert self._channel is not None  # noqa: S101 (just started)
        assert self._process is not None  # noqa: S101 (just started)
        # The first answer includes the init phase, which Lambda grants ten seconds of its own.
        self._channel.settimeout(self._timeout)
        try:
            _send(self._channel, json.dumps([request_id, self._timeout, event.decode()]).encode())
            said = _receive(self._channel)
        except TimeoutError:
            self._end()
            return 200, f"Task timed out after {self._timeout:.2f} seconds".encode(), ""
        except OSError:
            return 502, json.dumps(self._exited(request_id)).encode(), ""
        figures, _, body = said.partition(b"\n")
        return 200, body, figures.decode()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, _CHANNEL: str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._channel = ours
        ours.settimeout(10 + self._timeout)
        self._failed_start = b""
        try:
            said = _receive(ours)
        except OSError:
            return  # it ended; the invocation will tell
        if said != _READY:
            self._failed_start = said

    def _exited(self, request_id: str) -> dict[str, str]:
        code = self._end()
        how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: {how}",
        }

    def _end(self) -> int:
        process, channel = self._process, self._channel
        self._process = self._channel = None
        if channel is not None:
            channel.close()
        if process is None:
            return 0
        try:
            return process.wait(timeout=0.2)  # it may be about to end by itself, and its code tells why
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def work(handler: str) -> None:
    """Call the handler for each event that comes through the channel, for ever."""
    channel = socket.socket(fileno=int(os.environ.pop(_CHANNEL)))
    channel.setblocking(True)
    sys.path.insert(0, os.environ.get("LAMBDA_TASK_ROOT", "."))
    module_name, _, function_name = handler.rpartition(".")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:
        # As with AWS's interface client, the first invocation is answered with why there is no handler.
        _send(channel, json.dumps(_describe(error, "")).encode())
        raise
    _send(channel, _READY)
    while True:
        request_id, timeout, event = json.loads(_receive(channel))
        context = _Context(request_id, time.time() + timeout)
        try:
            body = json.dumps(function(json.loads(event), context))
        except Exception as error:  # noqa: BLE001  the one place where a handler's error becomes an answer
            body = json.dumps(_describe(error, request_id))
        _send(channel, f"{_figures()}\n{body}".encode())


class _Context:
    """What a handler may ask about its invocation.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self, request_id: str, ends: float) -> None:
        self.aws_request_id = request_id
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = (
            f"arn:aws:lambda:{os.environ['AWS_REGION']}:012345678912:function:{self.function_name}"
        )
        self.identity = None
        self.client_context = None
        self._ends = ends

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends - time.time()) * 1000))


def _describe(error: Exception, request_id: str) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def _figures() -> str:
    """What this process can say of itself where nobody can look into it from outside."""
    try:
        descriptors = len(list(Path("/dev/fd").iterdir())) - 1  # the listing's own
    except OSError:
        descriptors = -1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{os.getpid()} {descriptors} {peak} {threading.active_count()}"


def _send(channel: socket.socket, message: bytes) -> None:
    channel.sendall(len(message).to_bytes(_LENGTH, "big") + message)


def _receive(channel: socket.socket) -> bytes:
    size = int.from_bytes(_receive_exactly(channel, _LENGTH), "big")
    return _receive_exactly(channel, size)


def _receive_exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(1 << 20, size - len(parts)))
        if not part:
            raise ConnectionResetError("the other side ended")
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    main()
