"""A local AWS that stays after the command that started it: ``resilient local up`` and ``down``.

Its supervisor holds a lock for as long as it lives, so whether one runs is never guessed from a file that a
killed process left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import ports, workdir
from .emulator import LocalAws, check_ministack, spawn_supervisor, wait_until_ready
from .errors import LocalAwsError
from .orders import Orders

__all__ = ["Running", "down", "running", "state_file", "up"]

_STOP_SECONDS = 10.0
DEFAULT_PORT = 4566
"""The port that local AWS emulators are looked for at, if the user gives none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """The local AWS that stays.

    :param aws: attached to it; stopping it only lets go
    :param pid: its supervisor's process id
    :param fresh: whether this call started it
    """

    aws: LocalAws
    pid: int
    fresh: bool = False


def state_file() -> Path:
    """Where the running one is written down: the user's runtime directory, else the cache directory."""
    base = (
        os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    )
    directory = Path(base) / "resilient-constructs"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "local.json"


def running() -> Running | None:
    """The local AWS that stays, or None; a state file that a killed one left behind is removed."""
    path = state_file()
    if not _locked(path):
        path.unlink(missing_ok=True)
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None  # it is just starting or just ending
    aws = LocalAws.attach(
        port=state["port"], directory=Path(state["directory"]), calls=Path(state["calls"]), auth=state["auth"]
    )
    return Running(aws=aws, pid=state["pid"])


def up(*, port: int = DEFAULT_PORT, auth: bool = True) -> Running:
    """Start one that stays, unless one runs already; then that one is returned.

    :raises LocalAwsError: when it cannot start, or when one runs on another port or with another ``auth``
    """
    found = running()
    if found is not None:
        if (found.aws.port, found.aws.auth) != (port, auth):
            raise LocalAwsError(
                f"a local AWS runs already on port {found.aws.port} with auth={found.aws.auth}; "
                "stop it first: resilient local down"
            )
        return found
    check_ministack()
    listener = ports.listen(port)
    directory = workdir.create()
    orders = Orders(
        listener=listener.fileno(),
        port=port,
        directory=str(directory),
        calls=str(directory / "calls.jsonl"),
        auth=auth,
        owner=None,
        state=str(state_file()),
    )
    # Its last words go to a file: the terminal is somebody else's by then, and a pipe would never close.
    log = state_file().with_suffix(".log")
    with listener, log.open("wb") as stderr:
        process = spawn_supervisor(orders, stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        wait_until_ready(port, process)
    except BaseException as error:
        process.terminate()
        process.wait()
        if not isinstance(error, LocalAwsError):
            raise  # Ctrl-C before it answered: nobody was told of it, so nothing of it may stay
        raise LocalAwsError(f"{error}\n{log.read_text(errors='replace')}".strip()) from error
    aws = LocalAws.attach(port=port, directory=directory, calls=directory / "calls.jsonl", auth=auth)
    # It outlives this process on purpose: without this, Popen would warn about a child left behind.
    process.returncode = 0
    return Running(aws=aws, pid=process.pid, fresh=True)


def down() -> bool:
    """Stop the one that stays; False when none runs."""
    found = running()
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _locked(state_file()):
        if time.monotonic() > deadline:
            os.kill(found.pid, signal.SIGKILL)  # its server sees the end of its watch pipe and ends too
            break
        time.sleep(0.05)
    return True


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
