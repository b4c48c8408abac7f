"""One HTTP request over kept connections, by the standard library alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .chance import uniform
from .clock import SYSTEM_CLOCK
from .connections.advice import CHECK_AFTER_SECONDS, HTTP_MAX_AGE_SECONDS
from .connections.pool import Pool, PoolExhausted
from .connections.sockets import is_readable
from .time_left import seconds_left

__all__ = ["HttpTransport", "NotReached", "Reply", "Transport"]

_LONGEST_ANSWER = 1_048_576


# Not NotReachedError: it reads as what happened.
class NotReached(ConnectionError):  # noqa: N818
    """Nothing was sent, and so nothing was done."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    :param status: its status code
    :param headers: by name, in lower case
    :param body: at most 1 MiB of its body
    """

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def problem(self) -> Mapping[str, Any]:
        """The members of an ``application/problem+json``; empty where it is none (RFC 9457)."""
        media_type = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        found = self.json if media_type == "application/problem+json" else None
        return found if isinstance(found, dict) else {}

    @property
    def summary(self) -> str:
        """The answer in one line."""
        problem = self.problem
        said = (str(problem[name]) for name in ("title", "detail") if problem.get(name))
        return f"HTTP {self.status}: {': '.join(said) or self.body[:200].decode(errors='replace')}"


class Headers(dict[str, str]):
    """Headers that are found in any spelling."""

    def get(self, name: str, default: Any = None) -> Any:
        """The header's value."""
        return super().get(name.lower(), default)


Transport = Callable[[str, str, Mapping[str, str], bytes, float], Reply]
"""Takes method, URL, headers, body and a timeout in seconds; raises ``OSError`` when there is no answer, and
``ConnectionRefusedError`` or ``NotReached`` when nothing was sent."""


class HttpTransport:
    """Sends requests to one host.

    :param url: any URL of that host
    :param limit: how many connections there may be at once
    """

    def __init__(self, url: str, *, limit: int) -> None:
        self._url = url
        self.pool: Pool[Any] = Pool(
            "StorageFirstClient",
            self._connect,
            verbs=_Http(),
            limit=limit,
            max_age=HTTP_MAX_AGE_SECONDS,
            check_after=CHECK_AFTER_SECONDS,
            patience=30.0,
            clock=SYSTEM_CLOCK,
            random=uniform,
            left=seconds_left,
        )
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            # Elsewhere nobody recycles, and the list of what to close would keep every client alive.
            from .health.callbacks import on_recycle

            on_recycle(self.close)

    def close(self) -> None:
        """Close all connections."""
        self.pool.close()

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request."""
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            with self.pool() as connection:
                self._open(connection, timeout)
                connection.request(method, target, body=body, headers=dict(headers))
                return _read(connection)
        except PoolExhausted as error:
            raise NotReached(str(error)) from error

    def _open(self, connection: Any, timeout: float) -> None:
        connection.timeout = timeout
        if connection.sock is None:
            try:
                connection.connect()
            except OSError as error:
                # Of a wrong certificate the reader must know, and another attempt is no use.
                if type(error).__name__ == "SSLCertVerificationError":
                    raise
                raise NotReached(f"{connection.host} could not be reached: {error}") from error
        connection.sock.settimeout(timeout)

    def _connect(self) -> Any:
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        parts = urlsplit(self._url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        # Opens no socket yet: how long that may take is known only when a request is there.
        return kind(parts.hostname or "", parts.port)


def _read(connection: Any) -> Reply:
    answer = connection.getresponse()
    said = Headers({name.lower(): value for name, value in answer.getheaders()})
    reply = Reply(answer.status, said, answer.read(_LONGEST_ANSWER))
    if not answer.isclosed():  # longer than it may be: the rest would be taken for the next answer
        connection.close()
    return reply


class _Http:
    """The verbs of an ``http.client`` connection."""

    def closed(self, connection: Any) -> bool:
        """Whether the last answer ended it."""
        return connection.sock is None

    def readable(self, connection: Any) -> bool:
        """Whether the server has hung up."""
        return is_readable(connection.sock.fileno()) if connection.sock is not None else True

    def ping(self, connection: Any) -> None:
        """HTTP knows none, so a connection that would need one is not used again."""
        raise ConnectionError(f"{connection.host} may have hung up")

    def commit(self, connection: Any) -> None:
        """Nothing to do: the answer has been read."""

    def roll_back(self, connection: Any) -> None:
        """An answer may be on its way."""
        raise ConnectionError(f"{connection.host} may still answer")

    def close(self, connection: Any) -> None:
        """Hang up."""
        connection.close()
