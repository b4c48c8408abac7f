"""A command in an isolated place, ended with whoever wanted it: the near side of ``keeper``."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import processes
from .errors import SoakError

__all__ = ["Kept"]

_START_WITHIN = 15.0
_END_WITHIN = 10.0
_LAST_WORDS = 2000


class Kept:
    """A running command and its keeper.

    :param command: what to run
    :param env: its whole environment
    :param cwd: where it runs
    :param tmp: MB of its own ``/tmp``
    :param tmpdir: what ``TMPDIR`` is where it can have no ``/tmp`` of its own
    :param keep: folders below ``/tmp`` that stay visible, outer ones first
    :param descriptors: open file descriptors per process
    :param log: takes everything that the command and its children print; its folder is removed in the end
    :param isolate: whether to try for namespaces
    :param inherited: descriptors that the command inherits
    :raises SoakError: when it does not start
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        tmp: int,
        tmpdir: Path,
        keep: Sequence[str],
        descriptors: int,
        log: Path,
        isolate: bool = True,
        inherited: Sequence[int] = (),
    ) -> None:
        self._log = log
        hear, tell = os.pipe()
        orders = {
            "owner": os.getpid(),
            "status": tell,
            "command": list(command),
            "env": dict(env),
            "cwd": str(cwd),
            "tmp_mb": tmp,
            "tmpdir": str(tmpdir),
            "keep": list(keep),
            "descriptors": descriptors,
            "isolate": isolate,
            # It goes with whoever made it, whatever ends that one.
            "folder": str(log.parent),
        }
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), json.dumps(orders)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                pass_fds=(tell, *inherited),
                # A Ctrl-C in the terminal is for the owner, which ends this in its own time.
                start_new_session=True,
            )
        os.close(tell)
        try:
            self._isolated = self._hear(hear)
        except BaseException:
            self.end()
            raise
        finally:
            os.close(hear)

    @property
    def has_own_tmp(self) -> bool:
        """Whether /tmp is a file system of the command's own."""
        return self._isolated["tmp"]

    @property
    def alive(self) -> bool:
        """Whether the command still runs."""
        return self._process.poll() is None

    def main_process(self) -> int | None:
        """The command's process, seen from here; None where this cannot be seen."""
        pid: int | None = self._process.pid
        # keeper, its isolated child, the namespace's first process, the command
        for _ in range(3 if self._isolated["processes"] else 2):
            pid = next(iter(processes.children_of(pid)), None) if pid else None
        return pid

    def last_words(self) -> str:
        """The end of what was printed."""
        return self._log.read_text(errors="replace")[-_LAST_WORDS:].strip()

    def end(self) -> None:
        """Kill the command and whatever it has started; again is no harm."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hear(self, hear: int) -> dict[str, bool]:
        ends = time.monotonic() + _START_WITHIN
        said = b""
        # select() refuses descriptors from 1,024 on, which a test run may well have reached.
        waiting = select.poll()
        waiting.register(hear, select.POLLIN)
        while not said.endswith(b"}"):
            readable = waiting.poll(max(0.0, ends - time.monotonic()) * 1000)
            part = os.read(hear, 4096) if readable else b""
            if not part:
                raise SoakError(f"the execution environment did not start: {self.last_words() or 'no word'}")
            said += part
        isolated: dict[str, bool] = json.loads(said)
        return isolated
