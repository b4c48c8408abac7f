"""Nobody is left behind, whatever ends the soaker; and the stand-in keeps Lambda's habits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from resilient_constructs.soak import ExecutionEnvironment, SoakError
from resilient_constructs.soak.processes import parse_stat

_HANDLER = """
import os, subprocess, sys, time
def handler(event, context):
    if event.get("daemon"):
        subprocess.Popen(["sleep", event["daemon"]], start_new_session=True)
    if event.get("exit"):
        os._exit(event["exit"])
    if event.get("sleep"):
        time.sleep(event["sleep"])
    if event.get("write"):
        open("/tmp/left", "wb").write(bytes(event["write"]))
    print("called", flush=True)
    return [os.getpid(), os.path.exists("/tmp/left"), context.get_remaining_time_in_millis() > 0]
"""
_ENGINES = ["plain", pytest.param("rie", marks=pytest.mark.rie)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task root with the handler."""
    (tmp_path / "function.py").write_text(_HANDLER)
    return tmp_path


def _named(mark: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(mark in part for part in process.info["cmdline"] or ())
    ]


def _gone(mark: str) -> bool:
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if not _named(mark):
            return True
        time.sleep(0.05)
    return False


def _removed(folder: Path) -> bool:
    ends = time.monotonic() + 10
    while folder.exists() and time.monotonic() < ends:
        time.sleep(0.05)
    return not folder.exists()


@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_outlives_the_soaker(engine: str, number: signal.Signals, isolate: bool, folder: Path) -> None:
    """When the soaker is killed, its emulator, runtime, folder and what the handler started are gone."""
    mark = f"6000{os.getpid()}"
    code = textwrap.dedent(f"""
        import sys, time
        from resilient_constructs.soak import ExecutionEnvironment
        with ExecutionEnvironment(
            "function.handler", path={str(folder)!r}, engine={engine!r}, timeout=20, isolate={isolate}
        ) as one:
            assert one.invoke({{"daemon": "{mark}"}}).error is None
            print(one._folder, flush=True)
            time.sleep(60)
    """)
    soaker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert soaker.stdout is not None
    with soaker:
        left = Path(soaker.stdout.readline().strip())
        assert (left / "log").exists()
        assert _named(mark)
        soaker.send_signal(number)
    assert _gone(mark)
    assert _removed(left)


def test_nobody_outlives_the_environment(folder: Path) -> None:
    """A daemon that the handler has started in a session of its own ends with the environment."""
    mark = f"7000{os.getpid()}"
    with ExecutionEnvironment("function.handler", path=folder, engine="plain", timeout=20) as environment:
        environment.invoke({"daemon": mark})
        assert _named(mark)
    assert _gone(mark)


def test_the_stand_in_has_lambdas_habits(folder: Path) -> None:
    """An end and a timeout are told as Lambda does, a new process follows, and /tmp is still there."""
    with ExecutionEnvironment("function.handler", path=folder, engine="plain", timeout=1) as environment:
        first = environment.invoke({"write": 10})
        ended = environment.invoke({"exit": 3})
        second = environment.invoke({})
        late = environment.invoke({"sleep": 5})
        third = environment.invoke({})
        lines = environment.lines()
    assert first.error is None
    assert ended.error is not None
    assert (ended.error.type, ended.error.message[-13:]) == ("Runtime.ExitError", "exit status 3")
    assert late.error is not None
    assert late.error.type == "Sandbox.Timedout"
    assert second.value[1:] == third.value[1:] == [True, True]
    assert len({first.value[0], second.value[0], third.value[0]}) == 3
    assert environment.restarts == 2
    assert lines == ["called"] * 3


def test_an_error_of_the_stand_in_has_the_handlers_stack(folder: Path) -> None:
    """An exception is told with its class, its message and the line that raised it."""
    with ExecutionEnvironment("function.handler", path=folder, engine="plain") as environment:
        reply = environment.invoke([])
    assert reply.error is not None
    assert reply.error.type == "AttributeError"
    assert "function.py" in reply.error.stack[-1]


def test_without_namespaces_tmp_is_watched(tmp_path: Path) -> None:
    """Where /tmp cannot be its own, what goes through tempfile is measured, and too much of it fails."""
    (tmp_path / "function.py").write_text(
        "import tempfile\ndef handler(event, context):\n"
        "    with tempfile.NamedTemporaryFile(delete=False) as file:\n        file.write(bytes(1 << 19))\n"
    )
    with ExecutionEnvironment(
        "function.handler", path=tmp_path, engine="plain", tmp=1, timeout=20, isolate=False
    ) as environment:
        replies = [environment.invoke({}) for _ in range(3)]
        assert not environment.has_own_tmp
    assert [reply.error is None for reply in replies] == [True, True, False]
    assert replies[0].figures.tmp == 1 << 19


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A task root that does not exist is named, and nothing is started."""
    with (
        pytest.raises(SoakError, match="is no folder"),
        ExecutionEnvironment("function.handler", path=tmp_path / "none"),
    ):
        pass


def test_a_closed_environment_says_so(folder: Path) -> None:
    """An invocation outside the with statement is refused with the remedy."""
    with ExecutionEnvironment("function.handler", path=folder, engine="plain") as environment:
        pass
    with pytest.raises(SoakError, match="inside its with statement"):
        environment.invoke({})


def test_a_command_with_blanks_and_brackets_is_read() -> None:
    """A process may be called anything, and its figures are still found."""
    fields = " ".join(str(number) for number in range(4, 53))
    stat = parse_stat(f"77 (py (3) x) S 76 {fields}\n")
    assert (stat.state, stat.parent) == ("S", 76)
    assert (stat.threads, stat.begun) == (19, 21)
    assert stat.image == 27
