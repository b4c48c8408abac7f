"""The cache holds whole archives only, whoever builds at the same time or is killed while building."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resilient_constructs.assets import AssetError, cache_folder
from resilient_constructs.assets.archive import Entry, seal_of, write_zip
from resilient_constructs.assets.cache import cached


def build(to: Path) -> None:
    """Write one archive."""
    write_zip([Entry(path="a.py", executable=False, read=lambda: b"A" * 1000)], to, seal="whole")


def refuse(to: Path) -> None:
    """Fail where nothing is to be built."""
    raise AssertionError("it is in the cache already")


def test_built_once() -> None:
    """What is in the cache is not built again."""
    first = cached("a.zip", build)
    assert cached("a.zip", refuse) == first


def test_cut_short(cache: Path) -> None:
    """A file that was cut short, as by a full disk, is built anew."""
    path = cached("a.zip", build)
    path.write_bytes(path.read_bytes()[:-4])
    assert seal_of(cached("a.zip", build)) == "whole"


def test_failed_build_leaves_nothing(cache: Path) -> None:
    """A build that fails leaves no file behind, half-written or other."""

    def fail(to: Path) -> None:
        to.write_bytes(b"half")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        cached("a.zip", fail)
    assert list(cache.iterdir()) == []


BUILDER = """
import sys, time
from pathlib import Path
from resilient_constructs.assets.archive import Entry, write_zip
from resilient_constructs.assets.cache import cached

def build(to):
    entries = [Entry(path=f"{n}.py", executable=False, read=lambda: b"A" * 1000) for n in range(200)]
    write_zip(entries, to, seal="whole")
    time.sleep(float(sys.argv[1]))

cached("a.zip", build)
"""


def start(seconds: float) -> subprocess.Popen[bytes]:
    """Another process that builds for so many seconds."""
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(seconds)], cwd=Path(__file__).parents[2])


def test_two_processes_at_once(cache: Path) -> None:
    """Several processes that build the same archive at once all succeed, and one whole file is left."""
    running = [start(0.3) for _ in range(3)]
    assert [process.wait(timeout=30) for process in running] == [0, 0, 0]
    assert [path.name for path in cache.iterdir()] == ["a.zip"]
    assert seal_of(cache / "a.zip") == "whole"


def test_killed_while_building(cache: Path) -> None:
    """What a killed process left unfinished is never used."""
    process = start(60)
    while not list(cache.glob(".unfinished-*")) if cache.exists() else True:
        assert process.poll() is None
    process.kill()
    process.wait(timeout=30)
    assert not (cache / "a.zip").exists()
    assert seal_of(cached("a.zip", build)) == "whole"


def test_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder is RESILIENT_CACHE, else one of our own in XDG_CACHE_HOME, else in ~/.cache."""
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("RESILIENT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "resilient-constructs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "resilient-constructs"


def test_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that cannot be made is told together with the variable that names another."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match="RESILIENT_CACHE"):
        cached("a.zip", build)
