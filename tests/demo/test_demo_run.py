"""The demonstration, for real and small: it balances; killed in the middle, it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from resilient_constructs.demo.courier import Manner, Outcome
from resilient_constructs.demo.ledger import Fate
from resilient_constructs.demo.orders import Kind
from resilient_constructs.demo.run import Demo, Wishes
from resilient_constructs.demo.screen import Screen

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "examples" / "load" / "demo.yml"

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("local")]


def processes() -> dict[int, tuple[int, str]]:
    """Every living process: its parent and command line."""
    found = psutil.process_iter(["pid", "ppid", "status", "cmdline"])
    return {
        process.info["pid"]: (process.info["ppid"], " ".join(process.info["cmdline"] or []))
        for process in found
        if process.info["status"] != psutil.STATUS_ZOMBIE
    }


def descendants(root: int) -> dict[int, str]:
    """Everything that a process started, directly or not."""
    alive = processes()
    found: dict[int, str] = {}
    fresh = {root}
    while fresh:
        fresh = {pid for pid, (parent, _) in alive.items() if parent in fresh and pid not in found}
        found |= {pid: alive[pid][1] for pid in fresh}
    return found


def remains(family: dict[int, str], *, within: float = 10.0) -> dict[int, str]:
    """Who of a family is still alive when the time is up."""
    deadline = time.monotonic() + within
    while True:
        alive = processes()
        left = {pid: args for pid, args in family.items() if pid in alive and alive[pid][1] == args}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


class Running:
    """``resilient demo`` as a process of its own, and everything that it says."""

    def __init__(self, tmp_path: Path) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "runtime")]),
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "resilient_constructs.cli",
                "demo",
                "--report",
                str(tmp_path / "report.html"),
            ],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def wait_for(self, words: str, *, within: float = 120.0) -> None:
        """Wait until it has said something."""
        deadline = time.monotonic() + within
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def wait(self) -> int:
        """Its exit code, once it has ended and everything it said is there."""
        code = self.process.wait(30)
        self._reader.join(5)
        return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["cdk deploy", "driving: sent"])
def test_a_signal_leaves_no_process(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """Stopped while it deploys or drives, it says so, exits with the signal's code and leaves no process."""
    running = Running(tmp_path)
    running.wait_for(moment)
    time.sleep(2.5)
    family = descendants(running.process.pid)
    assert any("resilient_constructs.local" in args for args in family.values()), (family, running.said)
    running.process.send_signal(number)
    assert running.wait() == 128 + number
    assert f"stopped by {number.name}; no process is left" in running.said
    assert "Traceback" not in running.said
    assert remains(family, within=3) == {}


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """Killed without a chance to tidy up, its emulator and workers are gone all the same."""
    running = Running(tmp_path)
    running.wait_for("driving: sent")
    time.sleep(2)
    family = descendants(running.process.pid)
    running.process.kill()
    running.wait()
    assert remains(family, within=3) == {}


def test_a_killed_emulator_is_told_and_the_next_run_works(tmp_path: Path) -> None:
    """When the emulator is killed in the middle, the run says so and ends, and the next one balances."""
    running = Running(tmp_path)
    running.wait_for("driving: sent")
    time.sleep(2)
    family = descendants(running.process.pid)
    emulators = [pid for pid, args in family.items() if "resilient_constructs.local.server" in args]
    assert len(emulators) == 1, family
    os.kill(emulators[0], signal.SIGKILL)
    assert running.wait() == 3
    assert "the local AWS ended in the middle of the run" in running.said
    assert "Traceback" not in running.said
    assert remains(family, within=3) == {}

    wishes = Wishes(
        profile=PROFILE,
        directory=REPOSITORY,
        duration_factor=0.1,
        outage=(0, 0),
        manner=Manner(failure_share=0, fastest=0.02, slowest=0.05),
    )
    story = Demo(wishes, Screen(Console(quiet=True))).run()
    assert story.ledger.balanced, story.to_json()


def test_a_small_run_through_an_outage_balances() -> None:
    """Good orders complete, poison is dead-lettered, malformed bodies are turned away, through an outage."""
    wishes = Wishes(profile=PROFILE, directory=REPOSITORY, duration_factor=0.2, outage=(0.2, 0.6), seed=3)
    story = Demo(wishes, Screen(Console(quiet=True))).run()
    figures = story.to_json()
    assert story.ledger.balanced, json.dumps(figures, indent=1)
    assert figures["completed"] == story.kinds[Kind.GOOD]
    assert story.ledger.count(Fate.DEAD_LETTERED) == story.kinds[Kind.POISON] >= 1
    assert story.ledger.rejected_at_the_door == sum(story.kinds[kind] for kind in Kind if kind.malformed) >= 1
    assert figures["waiting"] == 0
    assert story.outcomes[Outcome.DOWN] >= 1
    assert len(story.outages) == 1


def test_what_still_waits_is_counted_by_id() -> None:
    """A run that is given up before its queue has drained finds every undelivered order in the queue."""
    wishes = Wishes(profile=PROFILE, directory=REPOSITORY, duration_factor=0.1, outage=(0, 1), patience=0)
    story = Demo(wishes, Screen(Console(quiet=True))).run()
    assert story.ledger.balanced, story.to_json()
    assert story.ledger.count(Fate.WAITING) > story.ledger.accepted / 2
