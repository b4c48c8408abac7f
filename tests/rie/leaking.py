"""Handlers that each leak one thing per call, as real ones do, and are right in all else."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import Any

if os.environ.get("WITHOUT_GC"):
    # As is done where a pause must not hit a request; a socket in a cycle is then closed by nobody.
    gc.disable()

_kept: list[Any] = []


def descriptor(event: dict[str, Any], context: Any) -> int:
    """One descriptor per call."""
    _kept.append(os.open(os.devnull, os.O_RDONLY))
    return event["number"]


class _Client:
    def __init__(self) -> None:
        self.socket = socket.socket()
        self.on_close = self.close

    def close(self) -> None:
        self.socket.close()


def socket_in_a_cycle(event: dict[str, Any], context: Any) -> int:
    """One socket per call, whose client refers to itself."""
    _Client()
    return event["number"]


def temporary_file(event: dict[str, Any], context: Any) -> int:
    """1 MB in /tmp per call."""
    Path(f"/tmp/page-{event['number']}.html").write_bytes(bytes(1 << 20))
    return event["number"]


def memory(event: dict[str, Any], context: Any) -> int:
    """1 MB of memory per call."""
    _kept.append(bytearray(b"x") * (1 << 20))
    return event["number"]


def nothing(event: dict[str, Any], context: Any) -> int:
    """Leaks nothing."""
    return event["number"]
