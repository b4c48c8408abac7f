"""``resilient local up`` and ``down``."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilient_constructs.local import LocalAwsError, daemon

pytestmark = pytest.mark.local


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free port, with a runtime directory of its own; nothing is left running afterwards."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    yield number
    daemon.down()


def test_up_twice_and_down_twice(port: int) -> None:
    """The second up finds the first; the second down has nothing to do."""
    first = daemon.up(port=port)
    second = daemon.up(port=port)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.pid == second.pid
    assert second.aws.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert daemon.down() is True
    assert daemon.down() is False
    assert not first.aws.directory.exists()


def test_other_wishes_are_told(port: int) -> None:
    """An up that wants another port than the running one's is refused with the remedy."""
    daemon.up(port=port)
    with pytest.raises(LocalAwsError, match=rf"runs already on port {port}.*resilient local down"):
        daemon.up(port=port + 1)


def test_stale_state_is_healed(port: int) -> None:
    """After its supervisor was killed, none is running, and the next up works."""
    killed = daemon.up(port=port)
    os.kill(killed.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while killed.aws.directory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert daemon.state_file().exists()
    assert daemon.running() is None
    assert not daemon.state_file().exists()
    assert daemon.up(port=port).fresh


def test_an_interrupted_up_leaves_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C before it answered ends what was started."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(daemon, "wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        daemon.up(port=port)
    assert daemon.running() is None
    with socket.create_server(("127.0.0.1", port)):
        pass
