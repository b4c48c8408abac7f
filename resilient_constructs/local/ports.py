"""A listening socket on the loopback interface, and who holds a port that is taken."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from .errors import LocalAwsError

__all__ = ["HOST", "holder", "listen"]

HOST = "127.0.0.1"
_LISTEN_STATE = "0A"


def listen(port: int | None) -> socket.socket:
    """Bind and listen on the loopback interface; a free port where none is given.

    The socket itself is handed on to the server, so nobody can take the port between choosing and serving.

    :raises LocalAwsError: when the port is taken or not ours to bind, naming the port and, where it can be
        seen, the process that holds it
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port or 0))
        listener.listen(1024)
    except OverflowError as error:
        listener.close()
        raise LocalAwsError(f"port is {port}; allowed: 1 to 65,535, or none for a free one") from error
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE and port:
            raise LocalAwsError(
                f"port {port} is in use by {holder(port)}; stop that, or choose another port"
            ) from error
        raise LocalAwsError(f"cannot listen on {HOST}:{port}: {error.strerror}") from error
    return listener


def holder(port: int) -> str:
    """Who listens on the port, in words; Linux shows it, elsewhere the command that would is named."""
    inode = _listening_inode(port)
    if inode is None:
        return f"another process (`lsof -nP -iTCP:{port} -sTCP:LISTEN` shows which)"
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) != f"socket:[{inode}]":
                continue
            process = link.parent.parent
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # the process ended, or is not ours to look into
            continue
        return f"process {process.name} ({command[:120]})"
    return "a process of another user"


def _listening_inode(port: int) -> str | None:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTEN_STATE and int(columns[1].rsplit(":", 1)[1], 16) == port:
                return columns[9]
    return None
