from __future__ import annotations

import inspect
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any

import pg8000.dbapi
import psycopg
import pymysql
import pytest
from resilient_runtime.connections.databases import Database
from resilient_runtime.connections.sockets import descriptor_of, impatient, is_readable


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection, from both ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    with near, far:
        yield near, far


class Asked:
    """A connection whose driver pings in its own way."""

    def __init__(self) -> None:
        self.asked: list[object] = []


class LikePymysql(Asked):
    """As pymysql does it."""

    def ping(self, reconnect: bool = True) -> None:
        """Note how it was asked."""
        self.asked.append(reconnect)


class LikeOracle(Asked):
    """As oracledb does it."""

    def ping(self) -> None:
        """Note that it was asked."""
        self.asked.append("plain")


@pytest.mark.parametrize(("connection", "asked"), [(LikePymysql(), False), (LikeOracle(), "plain")])
def test_a_drivers_own_ping_is_used(connection: Asked, asked: object) -> None:
    """A driver that can ask its server does, and must not connect again behind the pool's back."""
    Database().ping(connection)
    assert connection.asked == [asked]


def test_a_ping_of_the_users_own_comes_first() -> None:
    """Where the user says how to ask, nothing else is asked."""
    connection, asked = LikeOracle(), []
    Database(asked.append).ping(connection)
    assert (asked, connection.asked) == ([connection], [])


def test_without_a_ping_the_server_is_asked_for_a_one() -> None:
    """Any driver can select a one; a connection that cannot raises."""
    connection = sqlite3.connect(":memory:")
    Database().ping(connection)
    assert not connection.in_transaction
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        Database().ping(connection)


def test_what_is_relied_on_is_there() -> None:
    """psycopg tells by closed and fileno, pymysql by open and a ping that takes reconnect."""
    assert isinstance(psycopg.Connection.closed, property)
    assert callable(psycopg.Connection.fileno)
    assert isinstance(pymysql.connections.Connection.open, property)
    assert "reconnect" in inspect.signature(pymysql.connections.Connection.ping).parameters
    assert "_usock" in inspect.getsource(pg8000.dbapi.Connection.__mro__[1].__init__)


@pytest.mark.parametrize(
    ("facts", "closed"),
    [
        ({"closed": False}, False),
        ({"closed": 1}, True),
        ({"open": True}, False),
        ({"open": False}, True),
        ({}, False),
    ],
)
def test_a_closed_connection_is_known_by_its_driver(facts: dict[str, Any], closed: bool) -> None:
    """Some drivers say closed, some say open, and some say nothing."""
    assert Database().closed(type("Connection", (), facts)()) is closed


def test_a_farewell_is_seen_without_waiting(pair: tuple[socket.socket, socket.socket]) -> None:
    """A quiet connection has nothing to read; one whose other side hung up has its end to read."""
    near, far = pair
    connection = type("Connection", (), {"_sock": near})()
    assert not Database().readable(connection)
    far.close()
    near.settimeout(5)
    assert near.recv(1, socket.MSG_PEEK) == b""
    assert Database().readable(connection)


def test_a_connection_without_a_socket_is_not_read() -> None:
    """SQLite has no other side that could hang up."""
    assert descriptor_of(sqlite3.connect(":memory:")) is None
    assert not Database().readable(object())


def test_a_descriptor_that_is_closed_counts_as_ended(pair: tuple[socket.socket, socket.socket]) -> None:
    """What the operating system does not know any more is asked for, and so found dead."""
    near, _ = pair
    descriptor = near.fileno()
    near.close()
    assert descriptor_of(near) is None
    assert is_readable(descriptor)


def test_a_ping_does_not_wait_for_a_machine_that_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    """While the server is asked, TCP gives up after two seconds without a confirmation; then as before."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    near, _ = pair
    seen: list[int] = []
    connection = type("Connection", (), {"fileno": near.fileno})()

    def ping(_: object) -> None:
        seen.append(0 if option is None else near.getsockopt(socket.IPPROTO_TCP, option))

    Database(ping).ping(connection)
    assert seen == [0 if option is None else 2000]
    assert option is None or near.getsockopt(socket.IPPROTO_TCP, option) == 0
    with impatient(None, 1), impatient(near.fileno(), 1):
        assert near.fileno() >= 0
    near.sendall(b"still open")
