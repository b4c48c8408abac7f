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
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import launch
from .errors import SoakError
from .kept import Kept
from .launch import Engine, Wishes
from .replies import InvocationError, Reply, read_answer
from .watched import Watched

__all__ = ["ExecutionEnvironment"]

_INVOKE = "/2015-03-31/functions/function/invocations"
_PLATFORM_LINE = re.compile(r"(START|END|REPORT|INIT_START) RequestId: ")
_START_WITHIN = 15.0
_INIT_TIME = 10.0
_POLL = 0.005


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
        self._kept: Kept | None = None
        self._watched: Watched | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._ended_after_answer = False

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="resilient-soak-"))
        self._log = self._folder / "log"
        self._log.touch()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
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
        return None if self._watched is None else self._watched.pid

    @property
    def restarts(self) -> int:
        """How often Lambda has started another process after the first one."""
        return 0 if self._watched is None else self._watched.restarts

    @property
    def recycles(self) -> int:
        """How often a process has executed itself anew (execv), which no caller notices."""
        return 0 if self._watched is None else self._watched.recycles

    def invoke(self, event: Any) -> Reply:
        """Invoke the handler once and wait for the answer.

        The first invocation includes the init phase, as nothing is started before.

        :raises SoakError: when the emulator itself gives up
        """
        watched = self._watched
        if watched is None or self._connection is None:
            raise SoakError("the execution environment is closed; use it inside its with statement")
        body = json.dumps(event).encode()
        watched.begin()
        started = time.perf_counter()
        try:
            status, answer, said = self._post(body)
            if self._ended_after_answer and b'"Runtime.ExitError"' in answer:
                # That tells of the process that ended after the invocation before; nobody saw this event.
                started = time.perf_counter()
                status, answer, said = self._post(body)
        finally:
            watched.end()
        seconds = time.perf_counter() - started
        value, error = read_answer(status, answer)
        figures = watched.measure(said)
        self._ended_after_answer = error is None and watched.kill_if_too_large(figures)
        if watched.killed is not None:
            value, error = None, InvocationError(type="Runtime.ExitError", message=watched.killed)
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
        if self._watched is not None:
            self._watched.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
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
        self._watched = Watched(self._kept, memory=wishes.memory, tmp=wishes.tmp, tmpdir=elsewhere)

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
        assert self._connection is not None  # noqa: S101 (checked before)
        try:
            self._connection.request("POST", _INVOKE, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            return response.status, response.read(), response.headers.get("X-Figures", "")
        except (OSError, http.client.HTTPException) as error:
            assert self._kept is not None  # noqa: S101 (there is a connection)
            said = self._kept.last_words() or error
            raise SoakError(f"the {self.engine} engine gave up: {said}") from error
