"""Clients for what is loaded in the init phase: made without boto3, patient for seconds, silent about values.

botocore alone starts about 40 ms sooner than boto3 on top of it (measured: 160 against 200 ms, two clients).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

__all__ = ["Once", "client", "unlogged"]

_T = TypeVar("_T")

_making = threading.Lock()
_session: Any = None

_here = threading.local()
_is_guarded = False


def client(service: str, *, read_timeout: float = 2, attempts: int = 2) -> Any:
    """A client that gives up after about six seconds: the init phase has ten for everything.

    :param read_timeout: seconds that an answer may take. A connection may take one
    :param attempts: how often a request is sent at most

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    global _session
    from botocore.config import Config
    from botocore.session import get_session

    # Making a client is not thread-safe, and two are made at once.
    with _making:
        if _session is None:
            _session = get_session()
        return _session.create_client(
            service,
            config=Config(
                connect_timeout=1,
                read_timeout=read_timeout,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # A connection that a NAT gateway has forgotten would cost the next request its whole timeout.
                tcp_keepalive=True,
            ),
        )


class Once(Generic[_T]):
    """Makes a client when it is first needed, once for all threads; one that cannot be made is tried again.

    :param connect: makes it
    """

    def __init__(self, connect: Callable[[], _T]) -> None:
        self._connect = connect
        self._client: _T | None = None
        self._connecting = threading.Lock()

    def __call__(self) -> _T:
        """The client."""
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client


@contextmanager
def unlogged() -> Iterator[None]:
    """While this lasts, botocore does not log what it is answered in this thread.

    With the root logger at DEBUG it would log whole response bodies, and these hold secrets.
    """
    global _is_guarded
    if not _is_guarded:
        import logging

        logging.getLogger("botocore.parsers").addFilter(_lets_pass)
        _is_guarded = True
    _here.is_quiet = True
    try:
        yield
    finally:
        _here.is_quiet = False


def _lets_pass(_record: Any) -> bool:
    return not getattr(_here, "is_quiet", False)
