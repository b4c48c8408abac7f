"""Whatever kills whom: no process is left, no directory is left, and the next run works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

# A background job is started with SIGINT ignored, nohup's with SIGHUP ignored, and children inherit it:
# how these tests were started must not decide whether the user's process can be interrupted.
_AS_IN_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
"""

_USER = _AS_IN_A_TERMINAL + textwrap.dedent("""
    import io, json, sys, time, zipfile
    from resilient_constructs.local import LocalAws
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(
            "index.py",
            "import pathlib, time\\n"
            "def handler(event, context):\\n"
            "    pathlib.Path(event['begun']).touch()\\n"
            "    time.sleep(60)\\n",
        )
    with LocalAws(auth=False, port=int(sys.argv[1]) or None) as aws:
        functions = aws.client("lambda")
        functions.create_function(
            FunctionName="busy", Runtime="python3.13", Handler="index.handler", Timeout=90,
            Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": package.getvalue()},
        )
        # A worker that is still starting ends by itself with its input; one in its handler does not.
        begun = aws.directory / "begun"
        payload = json.dumps({"begun": str(begun)})
        functions.invoke(FunctionName="busy", InvocationType="Event", Payload=payload)
        while not begun.exists():
            time.sleep(0.05)
        print(aws.port, aws.directory, flush=True)
        time.sleep(120)
""")


@dataclass
class Scene:
    """A user's process with a local AWS that is in the middle of a handler."""

    user: subprocess.Popen[str]
    port: int
    directory: Path
    supervisor: int
    server: int
    workers: list[int]

    @property
    def everybody(self) -> list[int]:
        """Every process of the local AWS."""
        return [self.supervisor, self.server, *self.workers]


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _begin(port: int = 0) -> Scene:
    user = subprocess.Popen([sys.executable, "-c", _USER, str(port)], stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    said_port, directory = user.stdout.readline().split()
    supervisor = _children(user.pid)[0]
    server = _children(supervisor)[0]
    workers = _children(server)
    assert workers, "no worker is in the middle of a handler"
    return Scene(user, int(said_port), Path(directory), supervisor, server, workers)


def _assert_gone(scene: Scene) -> None:
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and (any(map(_alive, scene.everybody)) or scene.directory.exists()):
        time.sleep(0.05)
    assert [pid for pid in scene.everybody if _alive(pid)] == []
    assert not scene.directory.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_user_killed(number: signal.Signals) -> None:
    """A signal that ends the user's process ends the emulator and a worker in the middle of its handler."""
    scene = _begin()
    scene.user.send_signal(number)
    scene.user.wait(10)
    _assert_gone(scene)


def test_server_killed() -> None:
    """When the server is killed, its workers go too, and the user can see that it no longer runs."""
    scene = _begin()
    os.kill(scene.server, signal.SIGKILL)
    _assert_gone(scene)
    scene.user.kill()
    scene.user.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_supervisor_killed(number: signal.Signals) -> None:
    """When the supervisor is killed, server and workers go too."""
    scene = _begin()
    os.kill(scene.supervisor, number)
    _assert_gone(scene)
    scene.user.kill()
    scene.user.wait()


def test_next_run_takes_the_port() -> None:
    """After a SIGKILL of the user's process the next run gets the same port at once."""
    scene = _begin()
    scene.user.kill()
    scene.user.wait()
    _assert_gone(scene)
    with LocalAws(port=scene.port) as aws:
        assert aws.client("sqs").create_queue(QueueName="again")["QueueUrl"]


def test_user_and_supervisor_killed_together() -> None:
    """Killing the user's process and the supervisor in one go leaves nothing either."""
    scene = _begin()
    os.kill(scene.supervisor, signal.SIGKILL)
    scene.user.kill()
    scene.user.wait()
    _assert_gone(scene)


def test_dead_emulator_is_seen() -> None:
    """A local AWS whose server was killed says that it does not run, and can be stopped."""
    aws = LocalAws(auth=False).start()
    assert aws._supervisor is not None
    server = _children(aws._supervisor.pid)[0]
    os.kill(server, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while aws.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not aws.running
    aws.stop()


_DEPLOYER = _AS_IN_A_TERMINAL + textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from resilient_constructs.local import leash
    leash.run(["sh", "-c", f"echo $$ > {sys.argv[1]}; sleep 60 & sleep 60"], cwd=Path.cwd(), env=os.environ)
""")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_command_on_a_leash(number: signal.Signals, tmp_path: Path) -> None:
    """A command in the middle of its work, and what it started, end with whoever wanted it."""
    said = tmp_path / "pid"
    user = subprocess.Popen([sys.executable, "-c", _DEPLOYER, str(said)])
    deadline = time.monotonic() + 10
    while not (said.exists() and said.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    shell = int(said.read_text())
    while len(everybody := [shell, *_children(shell)]) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    user.send_signal(number)
    user.wait(10)
    while any(map(_alive, everybody)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in everybody if _alive(pid)] == []
