"""``Connections``: what a handler's module opens once, and every invocation may use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from resilient_runtime.chance import uniform
from resilient_runtime.clock import SYSTEM_CLOCK, Clock
from resilient_runtime.time_left import seconds_left

from .advice import CHECK_AFTER_SECONDS, HTTP_MAX_AGE_SECONDS, MAX_AGE_SECONDS
from .databases import Database
from .http import HttpSettings
from .pool import Pool

if TYPE_CHECKING:
    import httpx
    import requests
    import urllib3

__all__ = ["Connections"]

C = TypeVar("C")


def _on_recycle(close: Callable[[], None]) -> None:
    from resilient_runtime.health.callbacks import on_recycle

    on_recycle(close)


class Connections:
    """Pools of connections that live as long as their execution environment.

        connections = Connections()
        orders = connections.database(lambda: psycopg.connect(DSN, connect_timeout=3), name="orders")
        http = connections.httpx()

        def deliver(order, call):
            with orders() as db:
                db.execute("INSERT INTO delivered VALUES (%s)", [order["order_id"]])

    Make it at the top of the handler's module. A connection that was not used for a while is checked before
    it is handed out, for the environment may have been frozen and the other side may be gone; one that is
    too old is replaced, so that a changed DNS entry is followed. All of them are closed when the environment
    is cleaned, recycled or shut down. Lambda tells of a shutdown only where an extension is registered;
    elsewhere the other side sees the connections end with the environment.

    It can be used from several threads.

    :param clock: the time. Default: the machine's
    :param random: a number from 0 up to but not including 1. Default: by the operating system
    :param left: seconds that the work in progress may still take, None for no end. Default: as the call in
        progress has it
    :param on_recycle: takes the function to call when the environment is recycled. Default:
        ``resilient_runtime.on_recycle``

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = uniform,
        left: Callable[[], float | None] = seconds_left,
        on_recycle: Callable[[Callable[[], None]], object] = _on_recycle,
    ) -> None:
        self._clock = clock
        self._random = random
        self._left = left
        self._closers: list[Callable[[], object]] = []
        on_recycle(self.close)

    def database(
        self,
        connect: Callable[[], C],
        *,
        name: str = "database",
        limit: int = 2,
        max_age: float = MAX_AGE_SECONDS,
        check_after: float = CHECK_AFTER_SECONDS,
        patience: float = 30.0,
        ping: Callable[[C], object] | None = None,
    ) -> Pool[C]:
        """A pool of database connections: ``with pool() as connection:``, with any driver of PEP 249.

        The block's end commits, its exception rolls back. Nothing is opened before the first block.

        :param connect: opens one connection; give the driver a timeout for it
        :param name: how errors call it
        :param limit: how many connections this environment may have at once. The database sees as many times
            more as there are environments. Default: 2, and a second one only when two threads need it
        :param max_age: seconds after which a connection is replaced, less up to a fifth by chance.
            Default: 300
        :param check_after: seconds without use after which a connection is pinged before it is handed out.
            Default: 5
        :param patience: seconds that a block waits for a connection at most. Default: 30, and never longer
            than the invocation lasts
        :param ping: asks a connection's server for a sign of life, and raises when there is none. Default:
            the driver's own ``ping``, else ``SELECT 1``
        :raises ValueError: when a number is out of its range
        """
        _check(name, limit=limit, max_age=max_age, check_after=check_after, patience=patience)
        pool = Pool(
            name,
            connect,
            verbs=Database(ping),
            limit=limit,
            max_age=max_age,
            check_after=check_after,
            patience=patience,
            clock=self._clock,
            random=self._random,
            left=self._left,
        )
        self._closers.append(pool.close)
        return pool

    def urllib3(
        self,
        *,
        name: str = "urllib3",
        limit: int = 10,
        max_age: float = HTTP_MAX_AGE_SECONDS,
        check_after: float = CHECK_AFTER_SECONDS,
        timeout: float = 30.0,
    ) -> urllib3.PoolManager:
        """A ``urllib3.PoolManager``; see ``httpx`` for the options. It must be installed."""
        from .urllib3_client import pool_manager

        settings = self._http(name, limit=limit, max_age=max_age, check_after=check_after, timeout=timeout)
        manager = pool_manager(settings)
        self._closers.append(manager.clear)
        return manager

    def requests(
        self,
        *,
        name: str = "requests",
        limit: int = 10,
        max_age: float = HTTP_MAX_AGE_SECONDS,
        check_after: float = CHECK_AFTER_SECONDS,
        timeout: float = 30.0,
    ) -> requests.Session:
        """A ``requests.Session``; see ``httpx`` for the options. It must be installed."""
        from .requests_client import session

        settings = self._http(name, limit=limit, max_age=max_age, check_after=check_after, timeout=timeout)
        made, adapter = session(settings)
        self._closers.append(adapter.clear)
        return made

    def httpx(
        self,
        *,
        name: str = "httpx",
        limit: int = 10,
        max_age: float = HTTP_MAX_AGE_SECONDS,
        check_after: float = CHECK_AFTER_SECONDS,
        timeout: float = 30.0,
    ) -> httpx.Client:
        """An ``httpx.Client``. It must be installed.

        A request takes at most what is left of the invocation, or of the downstream call around it, whatever
        timeout it is given; without one, that is its timeout. Connections that were left alone for longer
        than ``check_after`` are closed instead of used: HTTP knows no ping, and a request that is sent into a
        dead connection has an unknown fate.

        :param name: how errors call it
        :param limit: how many connections there may be at once, with urllib3 and requests per host.
            Default: 10
        :param max_age: seconds after which a connection is replaced, and so the host's name is looked up
            again, less up to a fifth by chance. Default: 60
        :param check_after: seconds without use after which a connection is closed. Default: 5
        :param timeout: seconds that a request may take outside of an invocation. Default: 30
        :raises ValueError: when a number is out of its range
        """
        from .httpx_client import client

        settings = self._http(name, limit=limit, max_age=max_age, check_after=check_after, timeout=timeout)
        made, transport = client(settings)
        self._closers.append(transport.clear)
        return made

    def close(self) -> None:
        """Close all that is idle now, and the rest as soon as it comes back. Everything can be used again."""
        for close in self._closers:
            with suppress(Exception):  # the next one must be closed too
                close()

    def _http(
        self,
        name: str,
        *,
        limit: int,
        max_age: float,
        check_after: float,
        timeout: float,
    ) -> HttpSettings:
        _check(name, limit=limit, max_age=max_age, check_after=check_after, timeout=timeout)
        return HttpSettings(
            name=name,
            limit=limit,
            max_age=max_age,
            check_after=check_after,
            timeout=timeout,
            clock=self._clock,
            random=self._random,
            left=self._left,
        )


def _check(name: str, *, limit: int, **seconds: float) -> None:
    faults = [] if limit >= 1 else [f"limit is {limit!r}; allowed: 1 connection or more"]
    faults += [
        f"{prop} is {value!r}; allowed: more than 0 seconds"
        for prop, value in seconds.items()
        if not value > 0
    ]
    if faults:
        raise ValueError(f"Connections: {name!r}: {'; '.join(faults)}")
