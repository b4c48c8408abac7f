from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.health import callbacks
from resilient_runtime.health.callbacks import on_recycle, run_callbacks
from resilient_runtime.health.judge import Course
from resilient_runtime.health.probe import RESOURCES, Reading
from resilient_runtime.health.state import State, from_text

RUNTIME = Path(callbacks.__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_registered", [])


def test_the_last_one_registered_is_called_first_and_each_once() -> None:
    """Like a stack of with blocks; registering twice is registering."""
    calls: list[str] = []

    @on_recycle
    def pool() -> None:
        calls.append("pool")

    on_recycle(lambda: calls.append("session"))
    on_recycle(pool)
    assert run_callbacks(1.0, calls.append)
    assert calls == ["session", "pool"]


def test_one_that_raises_does_not_keep_the_others_from_their_turn() -> None:
    """Its exception is told."""
    calls: list[str] = []
    told: list[str] = []
    on_recycle(lambda: calls.append("pool"))

    @on_recycle
    def broken() -> None:
        raise SystemExit("no")

    run_callbacks(1.0, told.append)
    assert calls == ["pool"]
    assert "broken raised SystemExit: no" in told[0]


def test_one_that_hangs_is_left_behind() -> None:
    """A pool that cannot be closed does not hold up the environment."""
    told: list[str] = []
    stop = threading.Event()
    on_recycle(stop.wait)
    assert not run_callbacks(0.05, told.append)
    stop.set()
    assert "took more than 0.05 s" in told[0]


def test_without_any_no_thread_is_started() -> None:
    """Most functions register nothing, and pay nothing."""
    before = threading.active_count()
    assert run_callbacks(1.0, lambda sentence: None)
    assert threading.active_count() == before


SCRIPT = """
import os, signal, sys, time
from resilient_runtime.health.shutdown import call_on_termination
if "listens" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(call_on_termination(lambda seconds: os.write(1, b"closed\\n")), flush=True)
child = os.fork() if "forks" in sys.argv else 0
if child:
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize(
    ("how", "said", "code"),
    [
        ("plainly", ["True", "closed"], 0),
        ("listens", ["False"], 7),
        ("forks", ["True", f"child -{int(signal.SIGTERM)}", "closed"], 0),
    ],
)
def test_a_terminated_environment_closes_what_was_registered(how: str, said: list[str], code: int) -> None:
    """SIGTERM runs the callbacks, but not in a forked process, nor in place of the user's own handler."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), how],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(RUNTIME)},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(2 if how == "forks" else 1)]
    process.terminate()
    rest, _ = process.communicate(timeout=20)
    assert lines + rest.split("\n")[:-1] == said
    assert process.returncode == code


readings = st.builds(Reading, *[st.none() | st.integers(0, 10**12) for _ in RESOURCES])
states = st.builds(
    State,
    born=st.floats(0, 2e9),
    invocations=st.integers(0, 10**9),
    recycles=st.integers(0, 10**6),
    reason=st.text(),
    at=st.floats(0, 2e9),
    until=st.floats(0, 2e9),
    start=st.floats(0, 100),
    request_id=st.text(),
    before=readings,
    fresh=readings,
    courses=st.dictionaries(
        st.sampled_from(RESOURCES),
        st.builds(Course, st.floats(0, 1), st.none() | st.integers(0, 100), st.booleans()),
    ),
    told=st.dictionaries(st.sampled_from(RESOURCES), st.floats(0, 2e9)),
    children=st.lists(st.integers(1, 10**6)).map(tuple),
)


@given(states)
def test_what_one_interpreter_says_the_next_understands(state: State) -> None:
    """The state that is written is the state that is read."""
    assert from_text(state.to_text(pid=7), born=0.0, pid=7) == state
    assert from_text(state.to_text(pid=7), born=5.0, pid=8) == State(born=5.0)
