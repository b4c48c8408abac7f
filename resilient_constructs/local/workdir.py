"""The directory one run of the local AWS keeps everything in: bucket contents, function code, logs.

A run holds a lock in its directory for as long as it lives. A directory whose lock is free belonged to a run
whose every process was killed; the next run removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

__all__ = ["create", "hold", "remove", "sweep"]

_PREFIX = "resilient-aws-"
_LOCK = "lock"
_STARTING_SECONDS = 60.0


def create() -> Path:
    """Make a directory for one run, and remove those that dead runs left behind."""
    sweep()
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def hold(lock: Path) -> int | None:
    """Take the lock for the life of this process; None when another process holds it.

    An advisory lock goes away with its process, however that ends; a file with a process id in it does not.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def hold_directory(directory: Path) -> int | None:
    """Take the lock of one run's directory."""
    return hold(directory / _LOCK)


def remove(directory: Path) -> None:
    """Remove one run's directory; what a dying process still writes there is left to the next sweep."""
    shutil.rmtree(directory, ignore_errors=True)


def sweep() -> None:
    """Remove the directories of this user's runs that nobody holds any more."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = directory.stat()
            if found.st_uid != os.getuid():
                continue
            # Without a lock it may be about to start: its supervisor is being spawned.
            if not (directory / _LOCK).exists() and time.time() - found.st_mtime < _STARTING_SECONDS:
                continue
            descriptor = hold_directory(directory)
        except OSError:
            continue
        if descriptor is not None:
            remove(directory)
            os.close(descriptor)
