"""``/tmp``: whose it is, what was there at first, and what may go."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from .proc import content_of, names_in

__all__ = ["File", "Inventory", "Removed", "choose", "files_below", "held_files", "is_own"]

OWN_TMP_VARIABLE = "RESILIENT_OWN_TMP"
"""Set to 1 by whoever gives a process a ``/tmp`` of its own, for example in a mount namespace."""

_MARKER = ".resilient-environment"
_MOST_FILES = 20_000
_MOST_FOREIGN_PROCESSES = 64


class File(NamedTuple):
    """A plain file in /tmp.

    :param key: device and inode
    :param changed: when it was created or last written, in seconds since 1970
    :param size: bytes on the disk
    """

    path: str
    key: tuple[int, int]
    changed: float
    size: int


class Removed(NamedTuple):
    """What a cleaning took away."""

    files: int = 0
    size: int = 0


class Inventory:
    """What was in /tmp when the environment was fresh.

    A crash or timeout ends the process, but Lambda keeps /tmp; so it is written down there, in one hidden
    file, and the next process knows what was there before it, and how full it was.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html

    :param tmp: the directory
    """

    def __init__(self, tmp: str) -> None:
        self.tmp = tmp
        self.known = False
        self.fresh: int | None = None
        self.keep: set[str] = set()
        self._there: frozenset[int] = frozenset()

    def recall(self) -> None:
        """Read what an earlier process of this environment wrote down."""
        # Not through a link, and only our own: others may write to /tmp where it is not Lambda's.
        path = f"{self.tmp}/{_MARKER}"
        try:
            if os.lstat(path).st_uid != os.geteuid():
                return
            found = json.loads(content_of(path))
            there, fresh, keep = frozenset(found["there"]), int(found["fresh"]), set(found["keep"])
        except (OSError, ValueError, TypeError, KeyError):
            return
        self._there, self.fresh, self.keep, self.known = there, fresh, keep, True

    def take(self, fresh: int, keep: Sequence[str] = ()) -> None:
        """Write down what is there now."""
        there: list[int] = []
        for file in files_below(self.tmp, folders=there):
            there.append(file.key[1])
            if len(there) > _MOST_FILES:
                return  # not known, so nothing is ever removed
        self._there = frozenset(there)
        self.fresh = fresh
        self.keep = set(keep)
        self.known = True
        self.write()

    def write(self) -> None:
        """Write it down for the next process; without, that one takes what it finds for what was there."""
        text = json.dumps({"fresh": self.fresh, "keep": sorted(self.keep), "there": sorted(self._there)})
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):
            descriptor = os.open(f"{self.tmp}/{_MARKER}", flags, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)

    def remember(self, keep: Sequence[str]) -> None:
        """Add paths that must stay, also after a recycle."""
        if not self.keep.issuperset(keep):
            self.keep.update(keep)
            self.write()

    def new_files(self) -> list[File]:
        """The files that were not there, oldest first; none where the inventory is not known."""
        if not self.known:
            return []
        found = (
            file
            for file in files_below(self.tmp, owner=os.geteuid())
            if file.key[1] not in self._there and not self._keeps(file.path)
        )
        return sorted(found, key=lambda file: file.changed)

    def remove(self, files: Sequence[File]) -> Removed:
        """Remove them, and the new folders that this leaves empty."""
        count = size = 0
        folders = set()
        for file in files:
            try:
                # What has been replaced since it was listed is another file.
                found = os.lstat(file.path)
                if (found.st_dev, found.st_ino) != file.key:
                    continue
                os.unlink(file.path)  # noqa: PTH108
            except OSError:
                continue
            count += 1
            size += file.size
            folders.add(os.path.dirname(file.path))  # noqa: PTH120
        for folder in folders:
            self._remove_empty(folder)
        return Removed(count, size)

    def _remove_empty(self, folder: str) -> None:
        while folder.startswith(f"{self.tmp}/") and not self._keeps(folder) and not _is_here(folder):
            try:
                if os.lstat(folder).st_ino in self._there:
                    return
                os.rmdir(folder)  # noqa: PTH106
            except OSError:  # it is not empty
                return
            folder = os.path.dirname(folder)  # noqa: PTH120

    def _keeps(self, path: str) -> bool:
        return path.endswith(f"/{_MARKER}") or any(
            path == kept or path.startswith(f"{kept}/") for kept in self.keep
        )


def _is_here(folder: str) -> bool:
    try:
        return f"{os.getcwd()}/".startswith(f"{folder}/")  # noqa: PTH109
    except OSError:
        return True


def is_own(env: Mapping[str, str], *, proc: str = "/proc") -> bool:
    """Whether /tmp belongs to this environment alone, so that its new files are the handler's.

    On Lambda an environment sees its own few processes; whoever sees many is a guest on a machine, where
    others use /tmp too.
    """
    if env.get(OWN_TMP_VARIABLE) == "1":
        return True
    names = names_in(proc)
    return names is not None and sum(map(str.isdecimal, names)) < _MOST_FOREIGN_PROCESSES


def files_below(folder: str, *, owner: int | None = None, folders: list[int] | None = None) -> Iterator[File]:
    """The plain files in a folder and below, on its own device; links are not followed.

    :param owner: only the files of this user
    :param folders: takes the inode of each folder on the way
    """
    try:
        device = os.lstat(folder).st_dev
    except OSError:
        return
    look = [folder]
    while look:
        try:
            entries = os.scandir(look.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if found.st_dev != device:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    look.append(entry.path)
                    if folders is not None:
                        folders.append(found.st_ino)
                elif stat.S_ISREG(found.st_mode) and (owner is None or found.st_uid == owner):
                    yield File(
                        entry.path,
                        (found.st_dev, found.st_ino),
                        max(found.st_mtime, found.st_ctime),
                        found.st_blocks * 512,
                    )


def held_files(tmp: str, *, proc: str = "/proc") -> set[tuple[int, int]] | None:
    """The files in /tmp that some process has open or mapped; None when not even our own can be told."""
    held: set[tuple[int, int]] = set()
    if not names_in(f"{proc}/self/fd"):
        return None
    for process in filter(str.isdecimal, names_in(proc) or ()):
        # What is another user's, or has ended, is passed over: only our own user's files are ever removed.
        for path in (*_open_in(f"{proc}/{process}/fd"), *_mapped_in(f"{proc}/{process}/maps", tmp)):
            try:
                found = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            held.add((found.st_dev, found.st_ino))
    return held


def _open_in(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in names_in(folder) or ()]


def _mapped_in(maps: str, tmp: str) -> set[str]:
    # Not map_files: following its links takes a capability that Lambda does not give.
    inside = f"{tmp}/".encode()
    return {
        os.fsdecode(fields[5])
        for line in content_of(maps).splitlines()
        if inside in line and len(fields := line.split(None, 5)) == 6
    }


def choose(
    files: Sequence[File], held: set[tuple[int, int]], *, groups: Mapping[str, str], enough: int
) -> list[File]:
    """The files to remove, until so many bytes are free: first of the names that repeat, oldest first.

    What is left behind call after call has a name like its siblings'; a file that stands alone is rather a
    cache, and goes last.

    :param groups: the pattern that each path's name follows
    """
    free = [file for file in files if file.key not in held]
    siblings: dict[str, int] = {}
    for file in free:
        siblings[groups[file.path]] = siblings.get(groups[file.path], 0) + 1
    chosen = []
    for file in sorted(free, key=lambda file: (siblings[groups[file.path]] < 3, file.changed)):
        if enough <= 0:
            break
        chosen.append(file)
        enough -= file.size
    return chosen
