"""Sends requests when they are due, whether or not earlier ones were answered: an open loop.

A closed loop waits for a slow system and so hides how slow it is; customers do not wait for one another.
"""

from __future__ import annotations

import http.client
import json
import queue
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from .orders import Kind, Planned

__all__ = ["Driver", "Sent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One request and what came of it.

    :param kind: what it was meant to be
    :param correlation_id: what it was sent with
    :param due: when it was to be sent, in seconds since the epoch
    :param at: when it was sent
    :param ended: when its answer was there, or nobody waited any longer
    :param status: the HTTP status; None where no answer came, so that it may or may not have been accepted
    :param message_id: what the API called it
    :param answered_id: the correlation ID in the answer
    :param error: why there was no answer
    """

    kind: Kind
    correlation_id: str
    due: float
    at: float
    ended: float
    status: int | None
    message_id: str = ""
    answered_id: str = ""
    error: str = ""

    @property
    def late(self) -> float:
        """Seconds by which the driver itself sent it too late."""
        return self.at - self.due


class Driver:
    """Posts planned requests through an API's URL, over connections that are kept open.

    :param url: where to post, path included
    :param timeout: seconds to wait for an answer. Default: 29, as long as API Gateway itself waits
        (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html)
    :param connections: how many requests may be under way at once. Default: 32; when all are busy, requests
        go out late, and each one says so
    """

    def __init__(self, url: str, *, timeout: float = 29.0, connections: int = 32) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Driver: url is {url!r}; allowed: an http or https URL")
        self._https = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout
        self._connections = connections
        self._lock = threading.Lock()
        self._sent: list[Sent] = []
        self._halt = threading.Event()

    def sent(self) -> tuple[Sent, ...]:
        """Everything that was answered or given up so far."""
        with self._lock:
            return tuple(self._sent)

    def halt(self) -> None:
        """Send nothing more; what is under way is still waited for."""
        self._halt.set()

    def drive(
        self, planned: Sequence[Planned], *, tick: Callable[[float], None] | None = None
    ) -> tuple[Sent, ...]:
        """Send every request at its time and wait for every answer.

        :param tick: called about four times a second with the seconds since the start
        """
        start = time.time()
        due: queue.SimpleQueue[tuple[Planned, float] | None] = queue.SimpleQueue()
        workers = [
            threading.Thread(target=self._work, args=(due,), name=f"driver {n}", daemon=True)
            for n in range(min(self._connections, len(planned)))
        ]
        for worker in workers:
            worker.start()
        try:
            for request in planned:
                if not self._wait_until(start, request.at, tick):
                    break
                due.put((request, start + request.at))
        finally:
            for _ in workers:
                due.put(None)
        for worker in workers:
            while worker.is_alive():
                worker.join(timeout=0.25)
                if tick:
                    tick(time.time() - start)
        return self.sent()

    def _wait_until(self, start: float, at: float, tick: Callable[[float], None] | None) -> bool:
        while not self._halt.is_set():
            left = start + at - time.time()
            if left <= 0:
                return True
            self._halt.wait(min(left, 0.25))
            if tick:
                tick(time.time() - start)
        return False

    def _work(self, due: queue.SimpleQueue[tuple[Planned, float] | None]) -> None:
        connection = self._connect()
        while (work := due.get()) is not None:
            request, at = work
            sent = self._send(connection, request, at)
            with self._lock:
                self._sent.append(sent)
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)

    def _send(self, connection: http.client.HTTPConnection, request: Planned, due: float) -> Sent:
        if _hung_up(connection):
            connection.close()
        at = time.time()
        status: int | None = None
        error = ""
        answer: object = None
        try:
            connection.request(
                "POST",
                self._path,
                body=request.body,
                headers={"Content-Type": request.content_type, "X-Correlation-Id": request.correlation_id},
            )
            reply = connection.getresponse()
            content = reply.read()
            status = reply.status
            answer = json.loads(content)
        except ValueError:
            answer = None
        except (OSError, http.client.HTTPException) as failure:
            # No second attempt: the first may have been accepted, and a retry would blur the ledger.
            status, error = None, f"{type(failure).__name__}: {failure}"
            connection.close()
        told = answer if isinstance(answer, dict) else {}
        return Sent(
            kind=request.kind,
            correlation_id=request.correlation_id,
            due=due,
            at=at,
            ended=time.time(),
            status=status,
            message_id=str(told.get("message_id", "")),
            answered_id=str(told.get("correlation_id", "")),
            error=error,
        )


def _hung_up(connection: http.client.HTTPConnection) -> bool:
    """Whether the server closed an idle connection.

    Found out now it costs a reconnect; found out while sending, an answer that nobody knows.
    """
    if connection.sock is None:
        return False
    readable, _, _ = select.select([connection.sock], [], [], 0)
    return bool(readable)
