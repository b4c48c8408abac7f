"""``urllib3`` with connections that are checked after a freeze and replaced when they are old.

Imported only when an application asks for such a client, and so ``urllib3`` is imported at its top.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.exceptions import ConnectTimeoutError, EmptyPoolError, MaxRetryError

from .advice import Moment, advise, lifetime
from .http import HttpSettings, exhausted, no_time, shortest

__all__ = ["pool_manager", "use_aging_pools"]

_REDIRECTS = 3
"""As many as urllib3 follows by default."""


def pool_manager(settings: HttpSettings) -> PoolManager:
    """A pool manager whose pools are bounded per host, and keep to the time left."""
    # Redirects are followed; what failed is tried again by Retry, or each of its attempts would be four.
    retries = Retry(total=None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS)
    manager = PoolManager(maxsize=settings.limit, block=True, retries=retries)
    use_aging_pools(manager, settings)
    return manager


def use_aging_pools(manager: PoolManager, settings: HttpSettings) -> None:
    """Have a pool manager make pools like these."""
    ages = _Ages(settings)
    classes: Any = {"http": partial(_HttpPool, ages=ages), "https": partial(_HttpsPool, ages=ages)}
    manager.pool_classes_by_scheme = classes


class _Ages:
    """Since when each connection is open, and when it was used last."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        # by connection: opened, used, lifetime
        self._times: WeakKeyDictionary[Any, tuple[Moment, Moment, float]] = WeakKeyDictionary()

    def check(self, connection: Any) -> None:
        """Hang up what is too old or was left alone for too long; the next request opens it again."""
        now = Moment.now(self.settings.clock)
        times = self._times.get(connection)
        open_ = getattr(connection, "sock", None) is not None
        if open_ and times is not None:
            advice = advise(
                age=now.since(times[0]),
                idle=now.since(times[1]),
                lifetime=times[2],
                check_after=self.settings.check_after,
                closed=False,
                readable=False,  # urllib3 has looked already
            )
            if advice == "use":
                return
            # HTTP knows no ping, and a new connection is cheaper than a request of unknown fate.
            connection.close()
        age = lifetime(self.settings.max_age, self.settings.random())
        self._times[connection] = (now, now, age)

    def used(self, connection: Any) -> None:
        """Note that a request is over."""
        times = self._times.get(connection)
        if times is not None:
            self._times[connection] = (times[0], Moment.now(self.settings.clock), times[2])


class _Aging(HTTPConnectionPool):
    """A pool whose connections age."""

    def __init__(self, *args: Any, ages: _Ages, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ages = ages

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        settings = self._ages.settings
        longest = settings.longest()
        if longest <= 0:
            reason = ConnectTimeoutError(self, no_time(settings, longest))
            raise MaxRetryError(self, url, reason)
        options["timeout"] = _limited(options.get("timeout"), longest)
        options["pool_timeout"] = shortest(options.get("pool_timeout"), longest)
        return super().urlopen(method, url, *args, **options)

    def _get_conn(self, timeout: float | None = None) -> Any:
        try:
            connection = super()._get_conn(timeout)
        except EmptyPoolError as error:
            raise EmptyPoolError(self, exhausted(self._ages.settings, self.host)) from error
        self._ages.check(connection)
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            self._ages.used(conn)
        super()._put_conn(conn)


class _HttpPool(_Aging):
    pass


class _HttpsPool(_Aging, HTTPSConnectionPool):
    pass


def _limited(asked: Any, longest: float) -> Timeout:
    if isinstance(asked, Timeout):
        # urllib3's own way to say "none" is an object, which is neither number nor None
        connect, read = (_seconds(value) for value in (asked.connect_timeout, asked._read))
    else:
        connect = read = _seconds(asked)
    return Timeout(connect=shortest(connect, longest), read=shortest(read, longest), total=longest)


def _seconds(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
    )
