"""One execution environment of Lambda on this machine, with Lambda's limits: start it, invoke it, measure it.

    with ExecutionEnvironment("orders.handler", path=folder, memory=128, tmp=64) as environment:
        reply = environment.invoke({"id": 1})
        assert reply.error is None
        print(reply.value, reply.figures.descriptors, environment.restarts)

It stays warm between invocations, and Lambda's habits are kept: an uncaught exception leaves the process as
it is; ``sys.exit``, a crash, a timeout or too much memory end it, the next invocation starts another, and
``/tmp`` survives that. The engine is AWS's own runtime emulator with AWS's interface client where both can
be had (``engine`` says which it became), else a stand-in.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import launch, processes
from .errors import SoakError
from .kept import Kept
from .launch import Engine, Wishes
from .processes import Figures
from .replies import InvocationError, Reply, read_answer

__all__ = ["ExecutionEnvironment"]

_INVOKE = "/2015-03-31/functions/function/invocations"
_PLATFORM_LINE = re.compile(r"(START|END|REPORT|INIT_START) RequestId: ")
_START_WITHIN = 15.0
_INIT_TIME = 10.0
_POLL = 0.005
_MB = 1 << 20


class ExecutionEnvironment:
    """One execution environment; a context manager, and nothing of it outlives the ``with`` or the process.

    :param handler: ``module.function``, as Lambda is told
    :param path: the folder with the handler's module. Default: the current one
    :param memory: MB that the runtime and its children may use; beyond, they are killed as Lambda does
    :param tmp: MB of ``/tmp``; Lambda offers 512 to 10,240, less is for tests
    :param descriptors: open file descriptors per process
    :param timeout: whole seconds for one invocation
    :param env: variables besides Lambda's own, which they may replace
    :param python_path: folders besides ``path`` in which modules are found
    :param engine: ``rie`` insists on AWS's emulator, ``plain`` on the stand-in. Default: AWS's where possible
    :param isolate: whether it gets a ``/tmp`` and processes of its own, where the platform can; without,
        the machine's ``/tmp`` is seen, and only what goes through ``TMPDIR`` is counted
    :param function_name: the value of ``AWS_LAMBDA_FUNCTION_NAME``
    :raises SoakError: when it cannot be started
    """

    def __init__(
        self,
        handler: str,
        *,
        path: Path | str = ".",
        memory: int = 128,
        tmp: int = 512,
        descriptors: int = 1024,
        timeout: int = 3,
        env: Mapping[str, str] | None = None,
        python_path: Sequence[Path] = (),
        engine: Engine = "auto",
        isolate: bool = True,
        function_name: str = "soaked",
    ) -> None:
        self._wishes = Wishes(
            handler=handler,
            path=Path(path).resolve(),
            memory=memory,
            tmp=tmp,
            descriptors=descriptors,
            timeout=timeout,
            env=dict(env or {}),
            python_path=[Path(one).resolve() for one in python_path],
            function_name=function_name,
        )
        self._isolate = isolate
        self.engine, self._binary = launch.choose_engine(engine)
        self.restarts = 0
        """How often Lambda has started another process after the first one."""
        self.recycles = 0
        """How often a process has executed itself anew (execv), which no caller notices."""
        self._kept: Kept | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._emulator: int | None = None
        self._runtime: int | None = None
        self._last = Figures()
        self._killed: str | None = None
        # A large process takes a moment to die, and is still seen in it.
        self._killed_process: tuple[int, int] | None = None
        self._ended_after_answer = False
        self._busy = threading.Event()
        self._closed = False

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="resilient-soak-"))
        self._log = self._folder / "log"
        self._log.touch()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._watch_memory, name="soak-memory", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def has_own_tmp(self) -> bool:
        """Whether ``/tmp`` is a file system of the size asked for; else it is a folder in ``TMPDIR``."""
        return self._kept is not None and self._kept.has_own_tmp

    @property
    def pid(self) -> int | None:
        """The runtime's process as this machine numbers it; None before the first invocation."""
        return self._runtime

    def invoke(self, event: Any) -> Reply:
        """Invoke the handler once and wait for the answer.

        The first invocation includes the init phase, as nothing is started before.

        :raises SoakError: when the emulator itself gives up
        """
        body = json.dumps(event).encode()
        self._killed = None
        self._busy.set()
        started = time.perf_counter()
        try:
            status, answer, said = self._post(body)
            if self._ended_after_answer and b'"Runtime.ExitError"' in answer:
                # That tells of the process that ended after the invocation before; nobody saw this event.
                started = time.perf_counter()
                status, answer, said = self._post(body)
        finally:
            self._busy.clear()
        seconds = time.perf_counter() - started
        self._ended_after_answer = False
        value, error = read_answer(status, answer)
        figures = self._measure(said)
        if error is None and (too_much := self._too_much(figures)):
            # On Lambda the kernel would have come in the middle of it.
            self._kill(too_much, figures)
            self._ended_after_answer = True
        if self._killed is not None:
            value, error = None, InvocationError(type="Runtime.ExitError", message=self._killed)
        return Reply(value=value, error=error, seconds=seconds, figures=figures)

    def lines(self) -> list[str]:
        """What the function has printed so far, without the platform's START, END and REPORT."""
        said = self._log.read_text(errors="replace").splitlines()
        return [line for line in said if line and not _PLATFORM_LINE.match(line)]

    def records(self, status: str | None = None) -> list[dict[str, Any]]:
        """The JSON objects among the lines.

        :param status: only those with this value in ``status``
        """
        found = []
        for line in self.lines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [one for one in found if status is None or one.get("status") == status]

    def close(self) -> None:
        """End everything; again is no harm."""
        self._closed = True
        self._busy.set()
        if self._connection is not None:
            self._connection.close()
        if self._kept is not None:
            self._kept.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        wishes = self._wishes
        if not wishes.path.is_dir():
            raise SoakError(f"path is {str(wishes.path)!r}, which is no folder")
        env = launch.lambda_environment(wishes)
        if self._binary is not None:
            address, port = launch.loopback_address()
            api = launch.loopback_address()
            command = launch.rie_command(
                self._binary, wishes, address=f"{address}:{port}", runtime_api=f"{api[0]}:{api[1]}"
            )
            self._keep(command, env)
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                address, port = listener.getsockname()
                self._keep(launch.plain_command(wishes, listener=listener.fileno()), env, listener.fileno())
        self._connection = http.client.HTTPConnection(
            address, port, timeout=wishes.timeout + _INIT_TIME + _START_WITHIN
        )
        self._connect()

    def _keep(self, command: Sequence[str], env: Mapping[str, str], *inherited: int) -> None:
        wishes = self._wishes
        elsewhere = self._folder / "tmp"
        elsewhere.mkdir()
        self._kept = Kept(
            command,
            env=env,
            tmpdir=elsewhere,
            cwd=wishes.path,
            tmp=wishes.tmp,
            keep=launch.below_tmp(wishes, self._binary),
            descriptors=wishes.descriptors,
            log=self._log,
            isolate=self._isolate,
            inherited=inherited,
        )

    def _connect(self) -> None:
        assert self._kept is not None  # noqa: S101 (started before)
        assert self._connection is not None  # noqa: S101 (made before)
        ends = time.monotonic() + _START_WITHIN
        while True:
            try:
                return self._connection.connect()
            except OSError as error:
                if not self._kept.alive or time.monotonic() > ends:
                    raise SoakError(
                        f"the {self.engine} engine did not start: {self._kept.last_words() or error}"
                    ) from error
                time.sleep(_POLL)

    def _post(self, body: bytes) -> tuple[int, bytes, str]:
        if self._connection is None or self._closed:
            raise SoakError("the execution environment is closed; use it inside its with statement")
        try:
            self._connection.request("POST", _INVOKE, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            return response.status, response.read(), response.headers.get("X-Figures", "")
        except (OSError, http.client.HTTPException) as error:
            assert self._kept is not None  # noqa: S101 (there is a connection)
            said = self._kept.last_words() or error
            raise SoakError(f"the {self.engine} engine gave up: {said}") from error

    def _measure(self, said: str) -> Figures:
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

    def _look(self) -> Figures | None:
        """The figures of the runtime's process, looked for anew when it has gone."""
        for _ in range(2):
            if self._runtime is not None:
                figures = processes.figures_of(self._runtime, tmp=self._tmp_used())
                if figures is not None:
                    return figures
            self._find_runtime()
        return None

    def _find_runtime(self) -> None:
        if self._emulator is None and self._kept is not None:
            self._emulator = self._kept.main_process()
        emulator = self._emulator
        self._runtime = next(iter(processes.children_of(emulator)), None) if emulator else None

    def _tmp_used(self) -> int | None:
        if self.has_own_tmp:
            return None if self._emulator is None else processes.tmp_used(self._emulator)
        folder = self._folder / "tmp"
        return sum(one.lstat().st_size for one in folder.rglob("*") if not one.is_dir())

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
        if memory > self._wishes.memory * _MB and figures.process != self._killed_process:
            used = f"{memory / _MB:.1f} MB of {self._wishes.memory} MB"
            return f"Error: Runtime exited with error: signal: killed (it used {used})"
        if not self.has_own_tmp and tmp > self._wishes.tmp * _MB:
            return f"TMPDIR holds {tmp / _MB:.1f} MB of {self._wishes.tmp} MB"
        return None

    def _watch_memory(self) -> None:
        """During an invocation, look every few milliseconds: a handler may take it all at once."""
        while not self._closed:
            self._busy.wait()
            if self._closed or not processes.measurable():
                return
            figures = self._look()
            too_much = self._too_much(figures) if figures else None
            if figures and too_much and self._busy.is_set():
                self._kill(too_much, figures)
            time.sleep(_POLL)

    def _kill(self, why: str, figures: Figures) -> None:
        self._killed, self._killed_process = why, figures.process
        if figures.process is None:
            return
        runtime = figures.process[0]
        for pid in (*processes.descendants_of(runtime), runtime):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
