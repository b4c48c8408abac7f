"""How a database connection is asked, ended and closed, for every driver that follows PEP 249.

Nothing is imported: psycopg, psycopg2, pg8000, pymysql, mysqlclient, sqlite3 and their like share enough.
https://peps.python.org/pep-0249/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sockets import descriptor_of, impatient, is_readable

__all__ = ["Database"]

_PING_SECONDS = 2.0
"""What a live server takes for one round trip, and a hundred times more."""


class Database:
    """The verbs of a DB-API connection.

    :param ping: asks a connection's server whether it is there, and raises when not. Default: the driver's
        own ``ping``, else ``SELECT 1``
    """

    def __init__(self, ping: Callable[[Any], object] | None = None) -> None:
        self._ping = ping

    def closed(self, connection: Any) -> bool:
        """Whether the driver knows the connection to be closed; not every driver tells."""
        # psycopg and psycopg2 say ``closed``, pymysql says ``open``
        return bool(getattr(connection, "closed", False)) or getattr(connection, "open", True) is False

    def readable(self, connection: Any) -> bool:
        """Whether the server has said something unasked: most likely that it goes."""
        descriptor = descriptor_of(connection)
        return descriptor is not None and is_readable(descriptor)

    def ping(self, connection: Any) -> None:
        """Ask the server for a sign of life; raises when there is none."""
        with impatient(descriptor_of(connection), _PING_SECONDS):
            (self._ping or _ask)(connection)

    def commit(self, connection: Any) -> None:
        """Make what was done last; raises when the server did not."""
        # Whoever closed it in the block (``with connection:`` of psycopg does) has committed too.
        if not self.closed(connection):
            connection.commit()

    def roll_back(self, connection: Any) -> None:
        """Undo what was not committed."""
        connection.rollback()

    def close(self, connection: Any) -> None:
        """Hang up."""
        connection.close()


def _ask(connection: Any) -> None:
    ping = getattr(connection, "ping", None)
    if callable(ping):
        try:
            # A connection that was opened again behind the pool's back would have lost its settings.
            ping(reconnect=False)
        except TypeError:
            ping()
        return
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    finally:
        cursor.close()
    connection.rollback()
