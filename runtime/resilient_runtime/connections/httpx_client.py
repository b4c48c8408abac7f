"""``httpx`` with connections that are dropped after a freeze and replaced when they are old.

Imported only when an application asks for such a client, and so ``httpx`` is imported at its top.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx

from .advice import Moment, advise, lifetime
from .http import HttpSettings, exhausted, no_time, shortest

__all__ = ["AgingTransport", "client"]


def client(settings: HttpSettings) -> tuple[httpx.Client, AgingTransport]:
    """A client whose connections are pooled like this, and the transport that holds them."""
    transport = AgingTransport(settings)
    # No timeout of httpx's own: each request gets what is left.
    return httpx.Client(transport=transport, timeout=None), transport  # noqa: S113


class _Generation:
    """One inner transport with all its connections, which age together."""

    def __init__(self, settings: HttpSettings, now: Moment) -> None:
        limits = httpx.Limits(
            max_connections=settings.limit,
            max_keepalive_connections=settings.limit,
            keepalive_expiry=settings.check_after,
        )
        self.transport = httpx.HTTPTransport(limits=limits)
        self.opened = self.used = now
        self.lifetime = lifetime(settings.max_age, settings.random())
        self.requests = 0
        self.over = False


class AgingTransport(httpx.BaseTransport):
    """Sends requests over connections that are young and were used lately."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._current: _Generation | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; called by the client."""
        settings = self._settings
        longest = settings.longest()
        if longest <= 0:
            raise httpx.ConnectTimeout(no_time(settings, longest), request=request)
        asked = request.extensions.get("timeout", {})
        timeout = {kind: shortest(asked.get(kind), longest) for kind in ("connect", "read", "write", "pool")}
        request.extensions = {**request.extensions, "timeout": timeout}
        generation = self._begin()
        try:
            response = generation.transport.handle_request(request)
        except httpx.PoolTimeout as error:
            self._end(generation)
            raise httpx.PoolTimeout(exhausted(settings, request.url.host), request=request) from error
        except BaseException:
            self._end(generation)
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  what this transport returns
        stream = _Told(response.stream, lambda: self._end(generation))
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    def clear(self) -> None:
        """Close what is idle, and what is in use when its answer has been read."""
        with self._lock:
            generation, self._current = self._current, None
        self._retire(generation)

    def close(self) -> None:
        """Called when the client is closed."""
        self.clear()

    def _begin(self) -> _Generation:
        now = Moment.now(self._settings.clock)
        old = None
        with self._lock:
            current = self._current
            if current is None or not self._is_fit(current, now):
                old, current = current, _Generation(self._settings, now)
                self._current = current
            current.requests += 1
            current.used = now
        self._retire(old)
        return current

    def _is_fit(self, generation: _Generation, now: Moment) -> bool:
        advice = advise(
            age=now.since(generation.opened),
            idle=now.since(generation.used),
            lifetime=generation.lifetime,
            check_after=self._settings.check_after,
            closed=False,
            readable=False,  # httpx looks itself
        )
        return advice == "use"

    def _end(self, generation: _Generation) -> None:
        with self._lock:
            generation.requests -= 1
            generation.used = Moment.now(self._settings.clock)
            finished = generation.over and generation.requests == 0
        if finished:
            _close(generation)

    def _retire(self, generation: _Generation | None) -> None:
        if generation is None:
            return
        with self._lock:
            generation.over = True
            finished = generation.requests == 0
        if finished:
            _close(generation)


class _Told(httpx.SyncByteStream):
    """An answer's body that tells when it is closed."""

    def __init__(self, stream: httpx.SyncByteStream, closed: Callable[[], None]) -> None:
        self._stream = stream
        self._closed: Callable[[], None] | None = closed

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        """Called by the response when it was read or given up."""
        closed, self._closed = self._closed, None
        try:
            self._stream.close()
        finally:
            if closed is not None:
                closed()


def _close(generation: _Generation) -> None:
    with suppress(Exception):
        generation.transport.close()
