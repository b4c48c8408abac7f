"""A cache of the test's own, and wheels that the test makes itself: nothing here needs a network."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from resilient_constructs.assets.installer import Installer, Pip, Uv, find_installer


class MakeWheel(Protocol):
    """Makes a wheel and gives the folder that it is in."""

    def __call__(
        self,
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        requires: Sequence[str] = (),
        files: Mapping[str, str] = {},
    ) -> Path:
        """Make it."""
        ...


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RESILIENT_CACHE", str(folder))
    monkeypatch.delenv("RESILIENT_BUILD_FOR", raising=False)
    return folder


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Makes wheels in one folder, for ``--find-links``."""
    folder = tmp_path / "wheels"
    folder.mkdir()

    def make(
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        requires: Sequence[str] = (),
        files: Mapping[str, str] = {},
    ) -> Path:
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        content = {
            f"{name}.py": f"VERSION = {version!r}\n",
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{name}-{version}.data/scripts/{name}-tool": "#!python\nprint('tool')\n",
        }
        content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
        with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
            for path, text in content.items():
                wheel.writestr(path, text)
        return folder

    return make


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    """A folder with one handler and without dependencies."""
    folder = tmp_path / "handlers"
    folder.mkdir()
    (folder / "delivery.py").write_text("def deliver(order, call):\n    return None\n")
    return folder


@pytest.fixture(params=["pip", "the one that is found"])
def installer(request: pytest.FixtureRequest) -> Installer:
    """Every installer of this machine: pip, and uv where there is one."""
    return Pip() if request.param == "pip" else find_installer()


@pytest.fixture
def broken_installer() -> Installer:
    """An installer that is never to be reached, or that finds no network when it is."""
    complaint = "import sys; sys.exit('error: Network is unreachable')"
    return Uv(program=(sys.executable, "-c", complaint))
