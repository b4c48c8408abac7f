"""Zip files whose bytes depend on their content alone: no clock, no umask, no order of a directory."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

__all__ = ["Entry", "content_hash", "entries_below", "entries_of_zip", "is_excluded", "seal_of", "write_zip"]

# The first moment that a zip file can tell, in local time of nowhere.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_SEALED = "."


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file to be: its path inside the archive, whether it can be run, and where its bytes come from."""

    path: str
    executable: bool
    read: Callable[[], bytes]

    @property
    def mode(self) -> int:
        """The permissions it gets; Lambda's own user must be able to read it."""
        return 0o755 if self.executable else 0o644


def is_excluded(path: str, patterns: Iterable[str]) -> bool:
    """Whether a relative path, any folder above it or its name alone matches one of the glob patterns."""
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (*parts, *above))


def entries_below(folder: Path, *, exclude: Iterable[str] = (), prefix: str = "") -> list[Entry]:
    """Every file below a folder, without what the patterns exclude; symbolic links are followed."""
    patterns = tuple(exclude)
    found = []
    pending = [(folder, frozenset({folder.resolve()}))]
    while pending:
        inside, above = pending.pop()
        for path in inside.iterdir():
            relative = path.relative_to(folder).as_posix()
            if is_excluded(relative, patterns):
                continue
            if path.is_dir():
                real = path.resolve()
                if real not in above:  # a link back to a folder above would never end
                    pending.append((path, above | {real}))
            elif path.is_file():
                executable = bool(path.stat().st_mode & stat.S_IXUSR)
                found.append(Entry(path=prefix + relative, executable=executable, read=path.read_bytes))
    return sorted(found, key=lambda entry: entry.path)


def entries_of_zip(archive: zipfile.ZipFile, *, prefix: str = "") -> list[Entry]:
    """Every file of an archive written by ``write_zip``, to be read while it is open."""
    return [
        Entry(
            path=prefix + info.filename,
            executable=bool(info.external_attr >> 16 & stat.S_IXUSR),
            read=partial(archive.read, info),
        )
        for info in archive.infolist()
    ]


def content_hash(entries: Iterable[Entry]) -> str:
    """The SHA-256 of paths, modes and bytes.

    Not of the zip file: two builds of zlib may compress the same content differently.
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        body = hashlib.sha256(entry.read()).hexdigest()
        digest.update(f"{entry.path}\0{entry.mode:o}\0{body}\n".encode())
    return digest.hexdigest()


def write_zip(entries: Iterable[Entry], to: Path, *, seal: str) -> None:
    """Write the archive; where two entries have one path, the first wins.

    :param seal: kept as the archive's comment, its very last bytes, so that a file cut short has none
    """
    chosen: dict[str, Entry] = {}
    for entry in entries:
        chosen.setdefault(entry.path, entry)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(chosen):
            info = zipfile.ZipInfo(path, date_time=_EPOCH)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | chosen[path].mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, chosen[path].read(), compresslevel=6)
        archive.comment = f"{seal}{_SEALED}".encode("ascii")


def seal_of(path: Path) -> str | None:
    """The seal of an archive, or None where there is no whole archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            seal = archive.comment.decode("ascii")
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
        return None
    # zipfile reads a file whose comment was cut short without complaint, so the seal has an end of its own.
    return seal.removesuffix(_SEALED) if seal.endswith(_SEALED) else None
