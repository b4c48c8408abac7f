"""What the operating system knows of a socket, asked without waiting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["descriptor_of", "impatient", "is_readable"]

# Where drivers without a public ``fileno()`` keep their socket: pg8000, pymysql, http.client.
_PLACES = ("_usock", "_sock", "sock")


def is_readable(descriptor: int) -> bool:
    """Whether something, be it the end, can be read from this descriptor now."""
    import select

    try:
        if hasattr(select, "poll"):  # select() cannot watch descriptors above 1,023
            poll = select.poll()
            poll.register(descriptor, select.POLLIN | select.POLLPRI)
            return bool(poll.poll(0))
        return bool(select.select([descriptor], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def descriptor_of(connection: Any) -> int | None:
    """The descriptor of a connection's socket; None where it has none, or hides it."""
    for holder in (connection, *(getattr(connection, place, None) for place in _PLACES)):
        fileno: Callable[[], Any] | None = getattr(holder, "fileno", None)
        if callable(fileno):
            try:
                found = fileno()
            except Exception:  # noqa: BLE001  a driver's own error for a connection that is closed
                return None
            return found if type(found) is int and found >= 0 else None
    return None


@contextmanager
def impatient(descriptor: int | None, seconds: float) -> Iterator[None]:
    """For this block, TCP gives up after so many seconds in which nobody confirms what was sent.

    Else it tries for a quarter of an hour: a machine that is gone sends no refusal either. Linux alone can be
    told so; elsewhere, and for what is no TCP socket, the block runs as it is.
    https://man7.org/linux/man-pages/man7/tcp.7.html
    """
    import socket

    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if descriptor is None or option is None:
        yield
        return
    try:
        # Of the descriptor's copy: a socket object closes what it was made of.
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        yield
        return
    with copy:
        before = None
        with suppress(OSError):
            before = copy.getsockopt(socket.IPPROTO_TCP, option)
            copy.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
        try:
            yield
        finally:
            if before is not None:
                with suppress(OSError):
                    copy.setsockopt(socket.IPPROTO_TCP, option, before)
