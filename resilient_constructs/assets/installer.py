"""Installs prebuilt wheels for another machine into a folder: with uv where there is one, else with pip."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import AssetError
from .target import Target

__all__ = ["Installer", "Pip", "Uv", "find_installer", "install"]

# What a user's own settings for everyday installs must not do to an install into a folder.
_ENVIRONMENT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_USER": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "NO_COLOR": "1",
    # uv brings certificates of its own; the machine's know a company's proxy too
    "UV_SYSTEM_CERTS": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Uv:
    """uv, as a program or as a module of this Python."""

    program: tuple[str, ...]

    def command(self, requirements: Path, into: Path, *, target: Target | None, pinned: bool) -> list[str]:
        """The command line that installs; ``target`` None takes pure Python for any machine."""
        command = [*self.program, "pip", "install", "--quiet", "--no-progress", "--target", str(into)]
        command += ["--python", sys.executable, "--link-mode", "copy", "--only-binary", ":all:"]
        if pinned:
            command += ["--require-hashes", "--no-deps"]
        if target is not None and not target.host:
            command += ["--python-version", target.python]
            command += ["--python-platform", f"{target.machine}-manylinux_2_{target.glibc_minor}"]
        return [*command, "-r", str(requirements)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pip:
    """pip of this Python, or the pip wheel that Python itself carries.

    :param wheel: the wheel to run pip from where it is not installed
    """

    wheel: Path | None = None

    def command(self, requirements: Path, into: Path, *, target: Target | None, pinned: bool) -> list[str]:
        """The command line that installs; ``target`` None takes pure Python for any machine."""
        cross = target is not None and not target.host
        markers = json.dumps(dict(target.markers()) if target is not None and cross else {})
        script = Path(__file__).with_name("pip_for_target.py")
        command = [sys.executable, str(script), markers, "install", "--quiet", "--no-compile"]
        command += ["--target", str(into), "--only-binary", ":all:"]
        if pinned:
            command += ["--require-hashes", "--no-deps"]
        if target is not None and cross:
            command += ["--python-version", target.python, "--implementation", "cp"]
            for tag in target.platform_tags():
                command += ["--platform", tag]
        return [*command, "-r", str(requirements)]


Installer = Uv | Pip


def find_installer() -> Installer:
    """The first of: uv on the path, uv as a module, pip, the pip wheel inside ``ensurepip``.

    :raises AssetError: when there is none of them
    """
    program = shutil.which("uv")
    if program is not None:
        return Uv(program=(program,))
    if importlib.util.find_spec("uv") is not None:
        return Uv(program=(sys.executable, "-m", "uv"))
    if importlib.util.find_spec("pip") is not None:
        return Pip()
    # A virtual environment made by uv has no pip, but the Python below it usually still carries the wheel.
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin is not None:
        wheels = sorted(Path(ensurepip.origin).parent.glob("_bundled/pip-*.whl"))
        if wheels:
            return Pip(wheel=wheels[-1])
    raise AssetError(
        f"neither uv nor pip was found for {sys.executable}, and dependencies must be installed. "
        "Install one of them: https://docs.astral.sh/uv/ or https://pip.pypa.io/en/stable/installation/"
    )


def install(
    requirements: Path,
    into: Path,
    *,
    owner: str,
    named: Path,
    target: Target | None,
    pinned: bool = False,
    installer: Installer | None = None,
) -> None:
    """Install what a requirements file lists into a folder, from prebuilt wheels only.

    :param owner: whose dependencies these are, for the error
    :param named: the file that the user wrote, for the error
    :param target: the machine to install for; None for wheels that fit any
    :param pinned: whether each line carries hashes and all is listed
    :raises AssetError: when no wheel fits, a hash differs, or no package index can be reached
    """
    chosen = installer or find_installer()
    command = chosen.command(requirements, into, target=target, pinned=pinned)
    environment = {**os.environ, **_ENVIRONMENT}
    if isinstance(chosen, Pip) and chosen.wheel is not None:
        environment["PYTHONPATH"] = str(chosen.wheel)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssetError(_explain(done.stderr + done.stdout, owner=owner, named=named, target=target))


_NO_WHEEL = (
    re.compile(r"No matching distribution found for (?P<name>[^\s,;]+)"),
    re.compile(r"Could not find a version that satisfies the requirement (?P<name>[^\s,;]+)"),
    re.compile(r"Because (?P<name>[\w.\-]+(?:[<>=!~]=?[^\s]+)?) (?:has no|was not found|needs to be built)"),
    re.compile(r"there (?:is|are) no versions? of (?P<name>[^\s,;]+)"),
)
_OFFLINE = re.compile(
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname|Failed to fetch|"
    r"Connection refused|Network is unreachable|NewConnectionError|error sending request|"
    r"Max retries exceeded|ConnectTimeoutError|ProxyError",
    re.IGNORECASE,
)
_WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES|Hash mismatch|In --require-hashes mode", re.IGNORECASE)


def _explain(output: str, *, owner: str, named: Path, target: Target | None) -> str:
    where = "any machine" if target is None else target.told
    tail = _tail(output.splitlines())
    if _WRONG_HASH.search(output):
        return f"{owner}: a dependency in {named} is not what its hash promises.\n{tail}"
    if _OFFLINE.search(output):
        return (
            f"{owner}: the dependencies in {named} are not in the cache, and no package index could be "
            f"reached. Build once with a network connection; after that it works offline.\n{tail}"
        )
    for pattern in _NO_WHEEL:
        found = pattern.search(output)
        if found is not None:
            return (
                f"{owner}: {found['name']} in {named} was not found as a prebuilt wheel for {where}. "
                "Pin a version that has one, choose a package in pure Python, choose the other "
                f"architecture=, or bring it in a Lambda layer (layers=) and leave it out here.\n{tail}"
            )
    return f"{owner}: the dependencies in {named} could not be installed for {where}.\n{tail}"


def _tail(lines: Sequence[str]) -> str:
    told = [line.rstrip() for line in lines if line.strip() and not line.startswith("WARNING:")]
    return "\n".join(f"    {line[:_TOLD_WIDTH]}" for line in told[-_TOLD_LINES:])


_TOLD_LINES, _TOLD_WIDTH = 8, 200
