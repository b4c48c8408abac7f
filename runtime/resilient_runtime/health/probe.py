"""What one execution environment has in use of what Lambda gives it, read in a few microseconds.

Every reading goes through descriptors that are kept open (opening ``/proc/self/statm`` anew takes six times
as long). A figure that this system does not have, as outside of Linux, is None and judged by nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .proc import content_of, has_children, names_in, own_processes

__all__ = ["RESOURCES", "TMP", "Probe", "Reading", "limits_of"]

TMP = "/tmp"  # noqa: S108  the only place that a handler may write to

MAX_THREADS = 1024
"""Processes and threads together. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_LARGEST_TMP = 10_240 * 1024 * 1024 * 1.05
"""The most of /tmp that Lambda offers, and what a file system adds to it. A larger one is a machine's disk.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html"""

_EXACTLY_EVERY = 64
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Reading(NamedTuple):
    """One figure per resource, in use or allowed; None where it is not known.

    :param descriptors: open file descriptors
    :param memory: bytes that this process and those it started have in memory
    :param tmp: bytes in /tmp; the share of its inodes, as bytes, where more of those are used
    :param threads: threads of this process, and processes that it started
    """

    descriptors: int | None = None
    memory: int | None = None
    tmp: int | None = None
    threads: int | None = None


RESOURCES: tuple[str, ...] = Reading._fields


def limits_of(env: Mapping[str, str], *, tmp: str = TMP) -> Reading:
    """What Lambda, or this machine, allows this process."""
    memory = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return Reading(
        descriptors=_descriptors_allowed(),
        memory=int(memory) * 1024 * 1024 if memory.isdecimal() and int(memory) else None,
        tmp=_tmp_allowed(tmp),
        threads=MAX_THREADS if names_in("/proc/self/task") else None,
    )


class Probe:
    """Reads the figures.

    :param limits: what is allowed; what has no limit is not read
    :param proc: where the kernel tells about this process
    :param tmp: the directory for temporary files
    """

    def __init__(self, limits: Reading, *, proc: str = "/proc/self", tmp: str = TMP) -> None:
        self.limits = limits
        self.proc = proc
        self.tmp = tmp
        self._statm = self._task = self._fds = -1
        self._reads = 0
        self._children = 0
        self._children_memory = 0
        self.open()

    def open(self) -> None:
        """Take hold of the kernel's files; what is not there stays unknown."""
        self._statm = _opened(f"{self.proc}/statm")
        self._task = _opened(f"{self.proc}/task")
        self._fds = _opened(f"{self.proc}/fd")
        # From Linux 6.2 on, the directory's size is the number of descriptors; before, it is 0.
        # https://docs.kernel.org/filesystems/proc.html
        self._size_counts = self._fds >= 0 and os.fstat(self._fds).st_size > 0

    def close(self) -> None:
        """Let go of them."""
        for descriptor in (self._statm, self._task, self._fds):
            if descriptor >= 0:
                os.close(descriptor)
        self._statm = self._task = self._fds = -1

    def read(self) -> Reading:
        """What is in use now, as cheaply as it can be told."""
        self._reads += 1
        return self._reading(self._listed if self._reads % _EXACTLY_EVERY == 0 else self._descriptors)

    def read_exactly(self) -> Reading:
        """What is in use now, counted one by one where the cheap way may tell too little."""
        return self._reading(self._listed)

    def peak_memory(self) -> int | None:
        """The most that this process ever had in memory since it was started or re-executed, in bytes."""
        # Not getrusage: its maximum survives a re-execution, and so says nothing about this interpreter.
        _, found, rest = content_of(f"{self.proc}/status").partition(b"VmHWM:")
        return int(rest.split(None, 1)[0]) * 1024 if found else None

    def _reading(self, descriptors: Callable[[], int | None]) -> Reading:
        limits = self.limits
        self._count_children()
        return Reading(
            descriptors() if limits.descriptors else None,
            self._memory() if limits.memory else None,
            self._used_of_tmp() if limits.tmp else None,
            self._threads() if limits.threads else None,
        )

    def _descriptors(self) -> int | None:
        try:
            if self._size_counts:
                return os.fstat(self._fds).st_size
            # The lowest number that is free. It tells too little while a lower one is free than are in use,
            # but then there also is room; the next leak fills that hole.
            lowest = os.dup(0)
        except OSError as error:
            import errno

            return self.limits.descriptors if error.errno == errno.EMFILE else self._listed()
        os.close(lowest)
        return lowest

    def _listed(self) -> int | None:
        names = names_in(f"{self.proc}/fd")
        # The listing has one open itself.
        return None if names is None else len(names) - 1

    def _memory(self) -> int | None:
        try:
            return int(os.pread(self._statm, 96, 0).split(None, 2)[1]) * _PAGE + self._children_memory
        except (OSError, ValueError, IndexError):
            # Somebody closed every descriptor, and the number may by now be anybody's: take hold anew.
            self._statm = _opened(f"{self.proc}/statm")
            try:
                return int(os.pread(self._statm, 96, 0).split(None, 2)[1]) * _PAGE + self._children_memory
            except (OSError, ValueError, IndexError):
                return None

    def _threads(self) -> int | None:
        try:
            return os.fstat(self._task).st_nlink - 2 + self._children
        except OSError:
            self._task = _opened(f"{self.proc}/task")
            return None

    def _used_of_tmp(self) -> int | None:
        try:
            found = os.statvfs(self.tmp)
        except OSError:
            return None
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        if not found.f_files:
            return used
        # Many empty files fill it as surely as one large one.
        inodes = (found.f_files - found.f_ffree) / found.f_files
        return max(used, int(inodes * (self.limits.tmp or 0)))

    def _count_children(self) -> None:
        if not has_children():
            self._children = self._children_memory = 0
        elif self._reads % 16 == 0 or not self._children:
            found = own_processes()
            self._children = len(found)
            self._children_memory = sum(map(_memory_of, found))


def _memory_of(pid: int) -> int:
    fields = content_of(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return -1


def _descriptors_allowed() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _tmp_allowed(tmp: str) -> int | None:
    try:
        found = os.statvfs(tmp)
        own = os.stat(tmp).st_dev != os.stat("/").st_dev  # noqa: PTH116
    except (OSError, AttributeError):
        return None
    # What its owner may fill: some file systems keep blocks back for root.
    size = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    return size if own and 0 < size <= _LARGEST_TMP else None
