"""Zip files whose bytes depend on their content alone."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilient_constructs.assets.archive import (
    Entry,
    content_hash,
    entries_below,
    entries_of_zip,
    is_excluded,
    seal_of,
    write_zip,
)

NAMES = st.text(alphabet="abcxyz_", min_size=1, max_size=6)
FILES = st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=8)


def entry(path: str, body: bytes, *, executable: bool = False) -> Entry:
    """One file to be."""
    return Entry(path=path, executable=executable, read=lambda: body)


def zipped(entries: list[Entry], to: Path) -> bytes:
    """The bytes of the archive."""
    write_zip(entries, to, seal="s")
    return to.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_order(files: dict[str, bytes]) -> None:
    """The order in which a folder lists its files changes neither the archive's bytes nor its hash."""
    there = [entry(path, body) for path, body in files.items()]
    back = list(reversed(there))
    with TemporaryDirectory() as folder:
        assert zipped(there, Path(folder, "a.zip")) == zipped(back, Path(folder, "b.zip"))
    assert content_hash(there) == content_hash(back)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, changed=st.binary(max_size=10))
def test_hash_follows_content(files: dict[str, bytes], changed: bytes) -> None:
    """A changed byte, name or mode changes the hash."""
    before = [entry(path, body) for path, body in files.items()]
    first, *rest = before
    body = first.read() + changed + b"!"
    assert content_hash(before) != content_hash([entry(first.path, body), *rest])
    assert content_hash(before) != content_hash([entry("other/" + first.path, first.read()), *rest])
    assert content_hash(before) != content_hash([entry(first.path, first.read(), executable=True), *rest])


def test_times_and_modes(tmp_path: Path) -> None:
    """A file's clock and its group's permissions do not reach the archive; whether it can be run does."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("A = 1\n")
    (source / "run.sh").write_text("true\n")
    (source / "run.sh").chmod(0o750)
    (source / "a.py").chmod(0o600)
    first = zipped(entries_below(source), tmp_path / "first.zip")
    os.utime(source / "a.py", (1, 1))
    (source / "a.py").chmod(0o664)
    assert zipped(entries_below(source), tmp_path / "second.zip") == first
    with zipfile.ZipFile(tmp_path / "second.zip") as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        assert modes == {"a.py": 0o644, "run.sh": 0o755}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_round_trip(tmp_path: Path) -> None:
    """What was written is read back, under a prefix where one is given."""
    written = [entry("a.py", b"A"), entry("bin/run", b"B", executable=True)]
    write_zip(written, tmp_path / "a.zip", seal="s")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        again = entries_of_zip(archive, prefix="python/")
        assert [(one.path, one.executable, one.read()) for one in again] == [
            ("python/a.py", False, b"A"),
            ("python/bin/run", True, b"B"),
        ]


def test_first_wins(tmp_path: Path) -> None:
    """Where two files have one path, the first is kept and the archive has the path once."""
    write_zip([entry("a.py", b"mine"), entry("a.py", b"theirs")], tmp_path / "a.zip", seal="s")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["a.py"]
        assert archive.read("a.py") == b"mine"


def test_seal(tmp_path: Path) -> None:
    """An archive cut short anywhere has no seal, and neither has a missing or a foreign file."""
    whole = tmp_path / "whole.zip"
    write_zip([entry("a.py", b"A" * 500)], whole, seal="abc")
    assert seal_of(whole) == "abc"
    body = whole.read_bytes()
    for length in range(len(body)):
        (tmp_path / "cut.zip").write_bytes(body[:length])
        assert seal_of(tmp_path / "cut.zip") is None
    assert seal_of(tmp_path / "none.zip") is None
    (tmp_path / "foreign.zip").write_bytes(b"\0" * 100)
    assert seal_of(tmp_path / "foreign.zip") is None


def test_excluded() -> None:
    """A pattern holds for a name at any depth, for a folder above it, and for a whole relative path."""
    assert is_excluded("pkg/__pycache__/a.pyc", ["__pycache__"])
    assert is_excluded("pkg/a.pyc", ["*.pyc"])
    assert is_excluded("data/big/a.csv", ["data/big"])
    assert is_excluded("data/a.csv", ["data/*.csv"])
    assert not is_excluded("testing/a.py", ["test", "tests"])


def test_links(tmp_path: Path) -> None:
    """Linked files and folders are packed with what they link to, and a link that leads back ends."""
    source, shared = tmp_path / "source", tmp_path / "shared"
    source.mkdir()
    shared.mkdir()
    (shared / "common.py").write_text("C = 1\n")
    (source / "linked").symlink_to(shared)
    (source / "gone.py").symlink_to(tmp_path / "nowhere.py")
    (source / "inside").mkdir()
    (source / "inside" / "back").symlink_to(source)
    assert [one.path for one in entries_below(source)] == ["linked/common.py"]
