"""Where AWS's emulator is looked for, and how it is fetched."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resilient_constructs.assets.cache import CACHE
from resilient_constructs.soak import SoakError, emulator, find_rie
from resilient_constructs.soak.launch import choose_engine

NAME = "aws-lambda-rie-x86_64"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine without the emulator; returns its cache folder."""
    monkeypatch.delenv(emulator.RIE, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(emulator, "_in_sam_cli", lambda name: None)
    return tmp_path / "cache"


def _executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_named_binary_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RESILIENT_RIE is taken before everything else, and told when it is no file."""
    on_path = _executable(tmp_path / "bin" / "aws-lambda-rie")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_rie() == on_path
    named = _executable(tmp_path / "mine")
    monkeypatch.setenv(emulator.RIE, str(named))
    assert find_rie() == named
    monkeypatch.setenv(emulator.RIE, str(tmp_path / "none"))
    with pytest.raises(SoakError, match="which is no file"):
        find_rie()


def test_the_cache_and_the_sam_cli_are_looked_into(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What setup fetched is found, else what an installed SAM CLI brings, else nothing."""
    assert find_rie() is None
    sam = _executable(tmp_path / "samcli" / NAME)
    monkeypatch.setattr(emulator, "_in_sam_cli", lambda name: sam)
    assert find_rie() == sam
    cached = _executable(emulator._cached(NAME))
    assert bare_machine in cached.parents
    assert find_rie() == cached


def test_it_is_taken_out_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's binary is taken out of the wheel, executable; a second time nothing is fetched."""
    calls = []

    def download(folder: Path) -> Path:
        calls.append(folder)
        wheel = folder / "any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"samcli/local/rapid/{NAME}", "binary")
        return wheel

    monkeypatch.setattr(emulator, "_download", download)
    path = emulator.fetch_rie()
    assert path is not None
    assert path.read_text() == "binary"
    assert path.stat().st_mode & 0o111
    assert emulator.fetch_rie() == path
    assert len(calls) == 1
    assert [one.name for one in path.parent.iterdir()] == [NAME]


def test_only_the_pinned_wheel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is given version and hash, and what it says when it cannot is told with the way out."""
    asked = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(Path(command[-1]).read_text())
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(
        SoakError, match=r"could not be fetched: ERROR: no network; .* name it in RESILIENT_RIE"
    ):
        emulator.fetch_rie()
    name, _, digest = asked[0].strip().partition(" --hash=sha256:")
    assert name == "aws-sam-cli==1.170.0"
    assert len(digest) == 2 * hashlib.sha256().digest_size


def test_where_it_cannot_run_there_is_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on Linux the stand-in is used, and who insists on AWS's is told where it runs."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert emulator.fetch_rie() is None
    assert choose_engine("auto") == ("plain", None)
    with pytest.raises(SoakError, match="runs on Linux only"):
        choose_engine("rie")


def test_a_missing_binary_is_told_with_its_command() -> None:
    """Without the binary the default is the stand-in; who insists is told what fetches it."""
    assert choose_engine("auto") == ("plain", None)
    assert choose_engine("plain") == ("plain", None)
    with pytest.raises(SoakError, match=r"run: python -m resilient_constructs\.soak"):
        choose_engine("rie")
