"""What leaked: named as far as the process can tell, for what came since the environment was fresh.

Descriptors by file or peer, /tmp by the pattern of its names, memory by types, by the containers that grew,
and by line where allocations are traced, threads by name. Everything is grouped and cut short: a leak repeats
itself, and its first five names say enough.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .names import pattern_of
from .proc import content_of, names_in, own_processes, process_stat
from .tmp import Inventory

__all__ = ["Suspects", "peers"]

_MOST = 5
_TCP_STATES = {
    1: "ESTABLISHED",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    8: "CLOSE_WAIT",
    10: "LISTEN",
}
"""https://docs.kernel.org/networking/proc_net_tcp.html"""

Found = list[dict[str, Any]]


class Suspects:
    """What was there when the environment was fresh, and what has come since.

    :param inventory: what was in /tmp; None where /tmp is not this environment's own
    """

    def __init__(self, inventory: Inventory | None) -> None:
        self._inventory = inventory
        self._descriptors: Mapping[int, str] = {}
        self._threads: frozenset[int] = frozenset()
        self._memory: Any = None

    def note(self) -> None:
        """Take what is there now for normal."""
        self._descriptors = _targets()
        self._threads = frozenset(_threads())

    def note_memory(self) -> None:
        """Count what is in memory while the leak is still young: growth shows against it."""
        from .memory import Snapshot

        self._memory = Snapshot.take()

    @property
    def memory_noted(self) -> bool:
        """Whether there is something to compare memory with."""
        return self._memory is not None

    def of(self, name: str) -> Found:
        """The suspects for one resource, the worst first."""
        if name == "descriptors":
            return self._open_since()
        if name == "tmp":
            return self._files_since()
        if name == "threads":
            return self._threads_since()
        from .memory import grown

        return grown(self._memory)

    def _open_since(self) -> Found:
        now = _targets()
        # A number that was closed and opened again for something else is new.
        new = [target for number, target in now.items() if self._descriptors.get(number) != target]
        known = peers() if any(target.startswith("socket:") for target in new) else {}
        found = _most(known.get(target) or _described(target) for target in new)
        from .memory import lines_of_open

        lines = lines_of_open()
        return [*found, *lines]

    def _files_since(self) -> Found:
        if self._inventory is None:
            return []
        files: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for file in self._inventory.new_files():
            pattern = pattern_of(file.path)
            files[pattern] += 1
            sizes[pattern] += file.size
        return [
            {"what": pattern, "count": files[pattern], "bytes": size}
            for pattern, size in sizes.most_common(_MOST)
        ]

    def _threads_since(self) -> Found:
        names = (
            f"thread {pattern_of(name)}" for ident, name in _threads().items() if ident not in self._threads
        )
        processes = (f"process {_command(pid)}" for pid in own_processes())
        return _most([*names, *processes])


def peers() -> dict[str, str]:
    """For each socket of this network, by its target, whom it is connected with."""
    found: dict[str, str] = {}
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in content_of(f"/proc/self/net/{kind}").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9:
                state = _TCP_STATES.get(int(fields[3], 16), "") if kind.startswith("tcp") else ""
                about = f"{kind} {_address(fields[2].decode())} {state}".rstrip()
                found[f"socket:[{fields[9].decode()}]"] = about
    for line in content_of("/proc/self/net/unix").splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) > 6:
            path = pattern_of(os.fsdecode(fields[7])) if len(fields) > 7 else ""
            found[f"socket:[{fields[6].decode()}]"] = f"unix {path}".rstrip()
    return found


def _address(text: str) -> str:
    """An address of the kernel's tables, ``0100007F:1F90``, as people write it."""
    import socket

    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    if sys.byteorder == "little":  # in words of the machine's own order
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if not any(raw):
        return "not connected"
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    name = socket.inet_ntop(family, raw)
    return f"{name}:{int(port, 16)}" if len(raw) == 4 else f"[{name}]:{int(port, 16)}"


def _targets() -> dict[int, str]:
    targets = {}
    for name in names_in("/proc/self/fd") or ():
        try:
            targets[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:  # the listing's own is closed by now
            continue
    return targets


def _described(target: str) -> str:
    kind, colon, rest = target.partition(":")
    if target.startswith("/"):
        return pattern_of(target)
    if kind == "socket":
        return "a socket that is not connected"
    return f"{kind} {rest.strip('[]')}" if colon and kind == "anon_inode" else kind


def _threads() -> dict[int, str]:
    threading = sys.modules.get("threading")
    if threading is None:
        return {}
    return {thread.ident or 0: thread.name for thread in threading.enumerate()}


def _command(pid: int) -> str:
    # Its name alone: arguments may hold secrets.
    name = os.fsdecode(content_of(f"/proc/{pid}/comm").strip()) or "that has ended"
    return f"{name} (ended, and nobody waited for it)" if process_stat(pid)[:1] == [b"Z"] else name


def _most(names: Iterable[str]) -> Found:
    return [{"what": name, "count": count} for name, count in Counter(names).most_common(_MOST)]
