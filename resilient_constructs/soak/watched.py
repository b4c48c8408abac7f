"""The runtime as the platform sees it: what it uses, whether it is another one, when it takes too much."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

from . import processes
from .kept import Kept
from .processes import Figures

__all__ = ["Watched"]

_POLL = 0.005
_MB = 1 << 20


class Watched:
    """Watches the process that the emulator has started, whichever that is at the moment.

    :param kept: the emulator
    :param memory: MB that the runtime may use before it is killed
    :param tmp: MB of ``/tmp``, counted where no file system limits it
    :param tmpdir: the folder that is counted then
    """

    def __init__(self, kept: Kept, *, memory: int, tmp: int, tmpdir: Path) -> None:
        self._kept = kept
        self._memory = memory
        self._tmp = tmp
        self._tmpdir = tmpdir
        self.restarts = 0
        self.recycles = 0
        self.pid: int | None = None
        self._emulator: int | None = None
        self._last = Figures()
        self._killed: str | None = None
        # A large process takes a moment to die, and is still seen in it.
        self._killed_process: tuple[int, int] | None = None
        self._busy = threading.Event()
        self._closed = False
        threading.Thread(target=self._watch_memory, name="soak-memory", daemon=True).start()

    def begin(self) -> None:
        """An invocation begins."""
        self._killed = None
        self._busy.set()

    def end(self) -> None:
        """The invocation has been answered."""
        self._busy.clear()

    def close(self) -> None:
        """Watch no longer."""
        self._closed = True
        self._busy.set()

    def measure(self, said: str) -> Figures:
        """What the runtime uses now, after an invocation.

        :param said: what the stand-in's worker says of itself, which is believed where nothing can be seen
        """
        if not processes.measurable():
            return self._believe(said)
        figures = self._look()
        if figures is None or figures.process is None:
            return Figures(tmp=self._tmp_used())
        figures = replace(figures, peak=processes.take_peak(figures.process[0]))
        if self._last.process is not None:
            if figures.process != self._last.process:
                self.restarts += 1
            elif figures.image != self._last.image:
                self.recycles += 1
        self._last = figures
        return figures

    def kill_if_too_large(self, figures: Figures) -> bool:
        """Do what the kernel would have done on Lambda in the middle of the invocation."""
        too_much = self._too_much(figures)
        if too_much is not None:
            self._kill(too_much, figures)
        return too_much is not None

    @property
    def killed(self) -> str | None:
        """Why the runtime was killed in this invocation, None where it was not."""
        return self._killed

    def _look(self) -> Figures | None:
        """The figures of the runtime's process, looked for anew when it has gone."""
        for _ in range(2):
            if self.pid is not None:
                figures = processes.figures_of(self.pid, tmp=self._tmp_used())
                if figures is not None:
                    return figures
            if self._emulator is None:
                self._emulator = self._kept.main_process()
            emulator = self._emulator
            self.pid = next(iter(processes.children_of(emulator)), None) if emulator else None
        return None

    def _tmp_used(self) -> int | None:
        if self._kept.has_own_tmp:
            return None if self._emulator is None else processes.tmp_used(self._emulator)
        return sum(one.lstat().st_size for one in self._tmpdir.rglob("*") if not one.is_dir())

    def _believe(self, said: str) -> Figures:
        """The figures that the stand-in's worker tells of itself; its memory is the most there ever was."""
        numbers = [int(number) for number in said.split()]
        if not numbers:
            return Figures(tmp=self._tmp_used())
        pid, descriptors, memory, threads = numbers
        if self._last.process is not None and self._last.process[0] != pid:
            self.restarts += 1
        self._last = Figures(
            descriptors=descriptors if descriptors >= 0 else None,
            memory=memory,
            tmp=self._tmp_used(),
            threads=threads,
            process=(pid, 0),
        )
        return self._last

    def _too_much(self, figures: Figures) -> str | None:
        memory, tmp = max(figures.memory or 0, figures.peak or 0), figures.tmp or 0
        if memory > self._memory * _MB and figures.process != self._killed_process:
            used = f"{memory / _MB:.1f} MB of {self._memory} MB"
            return f"Error: Runtime exited with error: signal: killed (it used {used})"
        if not self._kept.has_own_tmp and tmp > self._tmp * _MB:
            return f"TMPDIR holds {tmp / _MB:.1f} MB of {self._tmp} MB"
        return None

    def _watch_memory(self) -> None:
        """During an invocation, look every few milliseconds: a handler may take it all at once."""
        while not self._closed:
            self._busy.wait()
            if self._closed or not processes.measurable():
                return
            figures = self._look()
            if figures is not None and self._busy.is_set():
                self.kill_if_too_large(figures)
            time.sleep(_POLL)

    def _kill(self, why: str, figures: Figures) -> None:
        self._killed, self._killed_process = why, figures.process
        if figures.process is None:
            return
        runtime = figures.process[0]
        for pid in (*processes.descendants_of(runtime), runtime):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
