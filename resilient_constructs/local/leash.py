"""Run a command that must not outlive whoever wanted it: the CDK CLI with its app and its Node processes.

Run with OWNER COMMAND… as arguments; its standard input is the watch pipe, OWNER the process id of the one
who holds its other end. The CLI starts the app through a shell, the app starts Node, and Node from a wheel is
started by a script: all of them are in the group that ends with this process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["run"]

_TICK = 0.1


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command and collect everything it says; whatever ends this process ends the command too."""
    root = str(Path(__file__).resolve().parents[2])
    # The package is found without PYTHONPATH: the command inherits the environment as it is.
    start = f"import sys; sys.path.insert(0, {root!r}); from {__name__} import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", start, str(os.getpid()), *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 (it is a pipe)
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    try:
        said = process.stdout.read()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
    return subprocess.CompletedProcess(list(command), process.returncode, said)


def main() -> int:
    """Run the command of the command line, in a process group of its own, until it or the owner ends."""
    owner, command = int(sys.argv[1]), sys.argv[2:]
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    code: int | None = None
    try:
        while (code := child.poll()) is None and not stopped and os.getppid() == owner:
            readable, _, _ = select.select([0], [], [], _TICK)
            if readable and not os.read(0, 1):
                break
    finally:
        # Also after a good end: whatever the command left in its group has nobody to work for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return 1 if code is None else code
