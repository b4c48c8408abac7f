"""Which program installs, what it is told, and how its complaints are put."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from resilient_constructs.assets import AssetError, Target
from resilient_constructs.assets.installer import Installer, Pip, Uv, find_installer, install

ARM = Target(python="3.13", architecture="arm64")
FILE = Path("handlers/requirements.txt")


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules, and uv as a program, look as if they were not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in modules else found(name, *rest)
    )


def test_uv_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """uv on the path is taken before pip."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    assert find_installer() == Uv(program=("/opt/uv",))


def test_pip_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uv it is pip."""
    hide(monkeypatch, "uv")
    assert find_installer() == Pip()


def test_carried_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without either, the pip wheel that Python itself carries is used and nothing is installed for it."""
    bundled = tmp_path / "ensurepip" / "_bundled"
    bundled.mkdir(parents=True)
    (bundled / "pip-25.0-py3-none-any.whl").write_bytes(b"")
    spec = importlib.machinery.ModuleSpec("ensurepip", None, origin=str(bundled.parent / "__init__.py"))
    hide(monkeypatch, "uv", "pip")
    hidden = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == "ensurepip" else hidden(name, *rest)
    )
    assert find_installer() == Pip(wheel=bundled / "pip-25.0-py3-none-any.whl")


def test_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can install, the error says what to get."""
    hide(monkeypatch, "uv", "pip", "ensurepip")
    with pytest.raises(AssetError, match="neither uv nor pip"):
        find_installer()


@pytest.mark.parametrize("chosen", [Uv(program=("uv",)), Pip()])
def test_never_builds(chosen: Installer) -> None:
    """No installer may run a package's own build: wheels only, for any target."""
    for target in (ARM, None, Target(python="3.13", architecture="arm64", host=True)):
        command = chosen.command(FILE, Path("into"), target=target, pinned=False)
        assert command[command.index("--only-binary") + 1] == ":all:"


def test_target_is_told() -> None:
    """Both are told the function's platform and Python, and neither is where the host is the target."""
    host = Target(python="3.13", architecture="arm64", host=True)
    uv, pip = Uv(program=("uv",)), Pip()
    assert "aarch64-manylinux_2_34" in uv.command(FILE, Path("into"), target=ARM, pinned=False)
    assert "manylinux_2_34_aarch64" in pip.command(FILE, Path("into"), target=ARM, pinned=False)
    for chosen in (uv, pip):
        assert "3.13" in chosen.command(FILE, Path("into"), target=ARM, pinned=False)
        assert "3.13" not in chosen.command(FILE, Path("into"), target=host, pinned=False)


def complaining(text: str) -> Uv:
    """An installer that does nothing but complain."""
    return Uv(program=(sys.executable, "-c", f"import sys; sys.exit({text!r})"))


def told(complaint: str, tmp_path: Path) -> str:
    """The error that comes of a complaint."""
    with pytest.raises(AssetError) as caught:
        install(
            FILE,
            tmp_path,
            owner="ResilientFunction 'D'",
            named=FILE,
            target=ARM,
            installer=complaining(complaint),
        )
    return str(caught.value)


@pytest.mark.parametrize(
    "complaint",
    [
        "ERROR: No matching distribution found for psycopg2==2.9.10",
        "Because psycopg2==2.9.10 has no usable wheels and you require psycopg2==2.9.10, we can conclude",
        "Because there is no version of psycopg2==2.9.10 and you require psycopg2==2.9.10, we can conclude",
    ],
)
def test_no_wheel(complaint: str, tmp_path: Path) -> None:
    """A dependency without a fitting wheel is told with owner, file, platform and remedies."""
    error = told(complaint, tmp_path)
    assert error.startswith("ResilientFunction 'D': psycopg2==2.9.10 in handlers/requirements.txt")
    assert "Python 3.13 on arm64 Linux with glibc 2.34 or older" in error
    assert "architecture=" in error
    assert "layers=" in error


def test_offline(tmp_path: Path) -> None:
    """Without a network it says so, and that a build with one is enough for later."""
    error = told(
        "NewConnectionError: Temporary failure in name resolution\nNo matching distribution", tmp_path
    )
    assert "no package index could be reached" in error
    assert "works offline" in error


def test_wrong_hash(tmp_path: Path) -> None:
    """A file that is not what its hash promises is told as that."""
    assert "not what its hash promises" in told("THESE PACKAGES DO NOT MATCH THE HASHES", tmp_path)


def test_anything_else(tmp_path: Path) -> None:
    """Any other complaint is passed on, its last lines, without endless ones."""
    error = told("first\n" * 20 + "x" * 5000, tmp_path)
    assert "could not be installed" in error
    assert len(error) < 1000
