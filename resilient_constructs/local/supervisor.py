"""The process between who uses the local AWS and the emulator: nothing outlives it, and it outlives nobody.

    user's process ─watch pipe─▶ supervisor ─watch pipe─▶ server and its Lambda workers (one process group)

Each process learns from the end of its watch pipe that the one before it is gone, however it went; the user's
process needs no signal handler. The supervisor leads a session of its own, so a Ctrl-C in the terminal
reaches the user's process alone, and the emulator is still there while that process tidies up.

Run as ``python -m resilient_constructs.local.supervisor`` with one JSON object as its argument.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import workdir
from .orders import Orders

_TICK = 0.2
ALREADY_RUNNING = 3
"""Exit code when another supervisor holds the state file's lock."""


def server_environment(orders: Orders) -> dict[str, str]:
    """The emulator's whole environment.

    Built from nothing rather than filtered: it is what Lambda workers inherit, and a host's AWS_PROFILE,
    AWS_ENDPOINT_URL or proxy in there sends a function's calls elsewhere.
    """
    directory = Path(orders.directory)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        "TMPDIR": str(directory / "tmp"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_PORT": str(orders.port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "AUTH": "true" if orders.auth else "false",
        "S3_DATA_DIR": str(directory / "s3"),
        "STATE_DIR": str(directory / "state"),
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_STRICT": "0",
        # No other listener than ours: these would open fixed ports, two runs could not stand side by side.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
        "LOG_LEVEL": "WARNING",
        "RESILIENT_CALLS": orders.calls,
    }


class _Supervisor:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._stopped = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def run(self) -> int:
        orders = self._orders
        directory = Path(orders.directory)
        state_lock = workdir.hold(Path(f"{orders.state}.lock")) if orders.state else None
        if orders.state and state_lock is None:
            workdir.remove(directory)
            return ALREADY_RUNNING
        workdir.hold_directory(directory)
        (directory / "tmp").mkdir(exist_ok=True)
        server = self._spawn(directory)
        try:
            if orders.state:
                _write_state(Path(orders.state), orders)
            ended = self._watch(server)
        finally:
            # Killed, not asked: the state dies with the process anyway, and a worker in the middle of a
            # handler would sit out its function's timeout first.
            _kill_group(server.pid)
            server.wait()
            if orders.state:
                Path(orders.state).unlink(missing_ok=True)
        if ended is not None:
            _tell_last_words(ended, directory / "server.log")
        workdir.remove(directory)
        return 0 if ended is None else 1

    def _spawn(self, directory: Path) -> subprocess.Popen[bytes]:
        with (directory / "server.log").open("wb") as log:
            server = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "resilient_constructs.local.server",
                    str(self._orders.listener),
                    str(directory),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=server_environment(self._orders),
                pass_fds=(self._orders.listener,),
                process_group=0,
            )
        os.close(self._orders.listener)
        return server

    def _watch(self, server: subprocess.Popen[bytes]) -> int | None:
        """Wait for an end: the server's (its exit code), or anybody's wish (None)."""
        owner = self._orders.owner
        while not self._stopped:
            code = server.poll()
            if code is not None:
                return code
            if owner is None:
                select.select([], [], [], _TICK)
                continue
            # A forked child of the user's process may hold the watch pipe open after it died: look at both.
            if os.getppid() != owner:
                return None
            readable, _, _ = select.select([sys.stdin.buffer], [], [], _TICK)
            if readable and not os.read(sys.stdin.fileno(), 1):
                return None
        return None


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return


def _write_state(path: Path, orders: Orders) -> None:
    fresh = path.with_suffix(".new")
    state: Mapping[str, object] = {
        "pid": os.getpid(),
        "port": orders.port,
        "directory": orders.directory,
        "calls": orders.calls,
        "auth": orders.auth,
    }
    fresh.write_text(json.dumps(state))
    fresh.replace(path)


def _tell_last_words(code: int, log: Path) -> None:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    try:
        tail = log.read_text(errors="replace").splitlines()[-15:]
    except OSError:
        tail = []
    print(f"resilient: the local AWS ended by itself ({how}).", *tail, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(_Supervisor(Orders(**json.loads(sys.argv[1]))).run())
