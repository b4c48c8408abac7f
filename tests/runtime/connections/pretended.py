"""A server, its connections and its time, all pretended; what is wrong with them is set by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from resilient_runtime.clock import Clock
from resilient_runtime.connections import Connections, Pool

NOON = 1_800_000_000.0


class OperationalError(Exception):
    """What a driver raises when a connection broke."""


class Connection:
    """One connection, with the verbs of PEP 249."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opened = server.time.now
        self.used = server.time.now
        self.asked = server.time.now
        self.closed = False
        self.alive = True
        self.committed = self.rolled_back = 0

    def _reach(self) -> None:
        assert not self.closed, "used after it was closed"
        if not self.alive:
            raise OperationalError("server closed the connection unexpectedly")

    def ping(self) -> None:
        """A sign of life."""
        self._reach()
        self.asked = self.server.time.now

    def commit(self) -> None:
        """End a transaction."""
        self._reach()
        self.committed += 1

    def rollback(self) -> None:
        """End a transaction, too."""
        self._reach()
        self.rolled_back += 1

    def close(self) -> None:
        """Hang up; a dead connection complains."""
        self.closed = True
        if not self.alive:
            raise OperationalError("already gone")


class Time:
    """Both clocks of a machine, and which of them stand still in a freeze."""

    def __init__(self) -> None:
        self.now = self.wall = self.ticks = 0.0

    def passes(self, seconds: float, *, stopped: str = "") -> None:
        """Let time pass; the clock named ``stopped`` does not see it."""
        self.now += seconds
        self.wall += 0 if stopped == "wall" else seconds
        self.ticks += 0 if stopped == "ticks" else seconds

    @property
    def clock(self) -> Clock:
        """These clocks as the runtime takes them."""
        return Clock(wall=lambda: NOON + self.wall, ticks=lambda: self.ticks)


class Server:
    """Who the connections lead to."""

    def __init__(self) -> None:
        self.time = Time()
        self.up = True
        self.connections: WeakSet[Connection] = WeakSet()
        self.opened = 0

    def connect(self) -> Connection:
        """Open a connection, where the server is up."""
        if not self.up:
            raise OperationalError("could not connect to server")
        connection = Connection(self)
        self.connections.add(connection)
        self.opened += 1
        return connection

    @property
    def open(self) -> list[Connection]:
        """The connections that nobody has closed."""
        return [one for one in self.connections if not one.closed]

    def group(self, **options: Any) -> tuple[Connections, list[Callable[[], None]]]:
        """Connections that live in this time, and what they want called on a recycle."""
        recycled: list[Callable[[], None]] = []
        group = Connections(
            **{
                "clock": self.time.clock,
                "random": lambda: 0.0,
                "left": lambda: None,
                "on_recycle": recycled.append,
                **options,
            }
        )
        return group, recycled

    def pool(self, *, group: dict[str, Any] | None = None, **options: Any) -> Pool[Connection]:
        """A pool of connections to this server, in a group with these options."""
        return self.group(**(group or {}))[0].database(self.connect, **options)
