"""What the kernel tells about processes, in files that are read whole.

With ``os`` alone: pathlib takes longer to import than everything here to run.
"""

from __future__ import annotations

import os

__all__ = ["content_of", "names_in", "process_stat", "processes_below"]

_MOST = 1 << 20


def content_of(path: str) -> bytes:
    """A small file's content; empty where there is none to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, _MOST):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def names_in(folder: str) -> list[str] | None:
    """The names in a folder; None where it cannot be listed."""
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return None


def process_stat(pid: int | str) -> list[bytes]:
    """The fields of a process from its state on, the third of proc(5)'s ``stat``; empty when it has ended."""
    # The name in brackets may hold anything; what counts stands after the last of them.
    return content_of(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def processes_below(pid: int) -> list[int]:
    """The processes that ``pid`` started, and those that they started; empty where it cannot be told."""
    children: dict[int, list[int]] = {}
    for name in names_in("/proc") or ():
        if name.isdecimal() and len(stat := process_stat(name)) > 1:
            children.setdefault(int(stat[1]), []).append(int(name))
    found: list[int] = []
    look = [pid]
    while look:
        below = children.pop(look.pop(), [])
        found += below
        look += below
    return found
