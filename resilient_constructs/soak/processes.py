"""What a process uses, seen from outside: read from /proc, so that measuring costs the handler nothing.

Without /proc (macOS) there is nothing to see, and every figure is None.
https://man7.org/linux/man-pages/man5/proc.5.html
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Figures",
    "Stat",
    "children_of",
    "figures_of",
    "measurable",
    "parse_stat",
    "take_peak",
    "tmp_used",
]

_PAGE = os.sysconf("SC_PAGESIZE")


class Stat(NamedTuple):
    """What one line of ``/proc/PID/stat`` says.

    ``begun`` (clock ticks since boot) tells two processes of one number apart, ``image`` (where the stack
    begins, which is random) two programs that one process has executed one after the other.
    """

    state: str
    parent: int
    threads: int
    begun: int
    resident: int
    image: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the runtime used after one invocation; None is what this platform cannot tell.

    :param descriptors: open file descriptors of the runtime's process
    :param memory: resident bytes of the runtime's process, and of its children what they share with nobody
    :param peak: the most resident bytes of the runtime's process during the invocation
    :param tmp: bytes used in ``/tmp``
    :param threads: threads of the runtime's process
    :param children: processes that the runtime has started and that still run
    :param process: identifies the process; another value means that Lambda started another runtime
    :param image: identifies the program in the process; another value with the same ``process`` means that
        the runtime executed itself anew
    """

    descriptors: int | None = None
    memory: int | None = None
    peak: int | None = None
    tmp: int | None = None
    threads: int | None = None
    children: int | None = None
    process: tuple[int, int] | None = None
    image: int | None = None


def measurable() -> bool:
    """Whether this platform shows processes from outside."""
    return sys.platform == "linux" and Path("/proc/self/stat").exists()


def parse_stat(line: str) -> Stat:
    """Read one line of ``/proc/PID/stat``; the command in it may hold blanks and brackets."""
    fields = line[line.rindex(")") + 2 :].split()
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        threads=int(fields[17]),
        begun=int(fields[19]),
        resident=int(fields[21]) * _PAGE,
        image=int(fields[25]),
    )


def stat_of(pid: int) -> Stat | None:
    """What the process uses; None when it is gone, or dead and not yet buried."""
    try:
        stat = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return None
    return None if stat.state in "ZX" else stat


def children_of(pid: int) -> list[int]:
    """The processes that this one has started, in any of its threads, and that still run."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        if stat_of(pid) is None:
            return []
        return _children_by_parent(pid)
    except OSError:
        return []
    return [child for child in found if stat_of(child) is not None]


def _children_by_parent(pid: int) -> list[int]:
    """For kernels that do not list children; a thread that ended in between is no harm."""
    return [
        int(one.name)
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and (stat := stat_of(int(one.name))) is not None and stat.parent == pid
    ]


def descendants_of(pid: int) -> list[int]:
    """Children and theirs."""
    found = children_of(pid)
    for child in found:
        found += children_of(child)
    return found


def figures_of(pid: int, *, tmp: int | None) -> Figures | None:
    """What the runtime's process uses; None when it is gone."""
    stat = stat_of(pid)
    if stat is None:
        return None
    children = descendants_of(pid)
    return Figures(
        descriptors=_descriptors(pid),
        memory=stat.resident + sum(_own_memory(child) for child in children),
        tmp=tmp,
        threads=stat.threads,
        children=len(children),
        process=(pid, stat.begun),
        image=stat.image,
    )


def take_peak(pid: int) -> int | None:
    """The most resident bytes since this was asked last; None where it cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        # "5": the peak begins anew with what is resident now
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except (OSError, StopIteration):
        return None
    return peak


def tmp_used(pid: int) -> int | None:
    """Bytes used in the file system on /tmp as this process sees it."""
    try:
        there = os.statvfs(f"/proc/{pid}/root/tmp")
    except OSError:
        return None
    return (there.f_blocks - there.f_bfree) * there.f_frsize


def _descriptors(pid: int) -> int | None:
    folder = Path(f"/proc/{pid}/fd")
    try:
        # Linux 6.2 and newer say the number without listing them, 0 elsewhere.
        return folder.stat().st_size or len(list(folder.iterdir()))
    except OSError:
        return None


def _own_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    except OSError:
        return 0
