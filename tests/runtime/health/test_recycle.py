from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resilient_runtime.health import recycle
from resilient_runtime.health.recycle import (
    between_invocations,
    busy_threads,
    not_here,
    seconds_needed,
    unknown_children,
)

RUNTIME = Path(recycle.__file__).parents[2]
ON_LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}

# Leaks a descriptor that outlives execve, changes what it can, and starts again once.
SCRIPT = """
import json, os, signal, sys
from resilient_runtime.health.recycle import Interpreter
def open_now():
    return [one for one in range(1024) if os.path.exists(f"/proc/self/fd/{one}")]
if "RESILIENT_HEALTH_STATE" in os.environ:
    print(json.dumps({
        "argv": sys.argv, "flags": [sys.flags.optimize, sys.flags.utf8_mode], "directory": os.getcwd(),
        "state": os.environ["RESILIENT_HEALTH_STATE"], "open": open_now(), "pid": os.getpid(),
        "telemetry": os.environ.get("_LAMBDA_TELEMETRY_LOG_FD"), "user": os.environ.get("USERS"),
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "blocked": [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }))
    sys.exit()
interpreter = Interpreter()
assert interpreter.known
del os.environ["_LAMBDA_TELEMETRY_LOG_FD"]
os.environ["USERS"] = "changed"
for _ in range(50):
    os.set_inheritable(os.dup(0), True)
os.chdir("/")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.setitimer(signal.ITIMER_REAL, 0.5)
print(json.dumps({"pid": os.getpid()}), flush=True)
interpreter.start_again("the state")
"""


def test_a_fresh_interpreter_is_as_lambda_started_the_first(tmp_path: Path) -> None:
    """Same process, arguments, folder and variables; only the standard streams and Lambda's own stay open."""
    (tmp_path / "script.py").write_text(SCRIPT)
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-O", "-X", "utf8", "script.py", "orders.handler"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            pass_fds=[writer],
            timeout=30,
            env={
                **ON_LAMBDA,
                "PYTHONPATH": str(RUNTIME),
                "USERS": "first",
                "_LAMBDA_TELEMETRY_LOG_FD": str(writer),
            },
        )
    finally:
        os.close(reader)
        os.close(writer)
    before, after = map(json.loads, done.stdout.splitlines())
    assert after == {
        "pid": before["pid"],
        "argv": ["script.py", "orders.handler"],
        "flags": [1, 1],
        "directory": str(tmp_path),
        "state": "the state",
        "open": [0, 1, 2, writer],
        "telemetry": str(writer),
        "user": "first",
        "timer": 0.0,
        "blocked": [],
    }


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "not Lambda"),
        ({**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}, "snap-start"),
        ({**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, "managed"),
        ({**ON_LAMBDA, "AWS_LAMBDA_MAX_CONCURRENCY": "10"}, "side by side"),
    ],
)
def test_where_it_is_never_done(env: dict[str, str], why: str) -> None:
    """SnapStart, Managed Instances and everything that is not Lambda keep their interpreter, and say why."""
    assert why in (not_here(env) or "")


@pytest.mark.parametrize("kind", [None, "on-demand", "provisioned-concurrency"])
def test_where_it_may_be_done(kind: str | None) -> None:
    """Plain environments, provisioned ones among them, may be recycled."""
    env = ON_LAMBDA if kind is None else {**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    assert not_here(env) is None


def test_a_first_start_had_a_whole_processor_and_a_recycle_has_not() -> None:
    """At 128 MB the same work takes fourteen times as long, unless a recycle has already been measured."""
    assert seconds_needed(0.3, 0.2, memory_mb=1769, measured=False) == pytest.approx(0.25 + 0.6)
    at_128 = seconds_needed(0.3, 0.2, memory_mb=128, measured=False)
    assert at_128 == pytest.approx(0.25 + 2 * (0.1 + 0.2 * 1769 / 128))
    assert seconds_needed(0.3, 0.2, memory_mb=128, measured=True) == pytest.approx(0.25 + 0.6)
    assert seconds_needed(0.3, 0.2, memory_mb=None, measured=False) == pytest.approx(0.25 + 0.6)
    assert seconds_needed(0.3, 0.2, memory_mb=None, measured=True, dying=True) == pytest.approx(0.625)


class Client:
    """The interface client, as far as it matters."""

    def wait_next_invocation(self) -> str:
        """Ask for the next event."""
        return "an event"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """An interface client's module that is loaded."""
    kind = type("LambdaRuntimeClient", (Client,), {})
    module = types.ModuleType("awslambdaric.lambda_runtime_client")
    module.LambdaRuntimeClient = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_client", module)
    return kind


def test_the_client_asks_for_its_event_after_we_were_called(client: type[Client]) -> None:
    """Every request for an event is preceded by one call of ours, and answered as before."""
    calls: list[int] = []
    assert between_invocations(lambda: calls.append(1))
    assert client().wait_next_invocation() == "an event"
    assert calls == [1]


def test_who_comes_later_takes_the_place_of_who_came_first(client: type[Client]) -> None:
    """Two caretakers in one process do not call each other in turn."""
    calls: list[str] = []
    between_invocations(lambda: calls.append("first"))
    between_invocations(lambda: calls.append("second"))
    client().wait_next_invocation()
    assert calls == ["second"]


@pytest.mark.parametrize("missing", ["module", "class", "method"])
def test_a_client_that_looks_different_is_left_alone(
    missing: str, client: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version of it that has no such method is not touched."""
    if missing == "module":
        monkeypatch.delitem(sys.modules, "awslambdaric.lambda_runtime_client")
    elif missing == "class":
        monkeypatch.delattr(sys.modules["awslambdaric.lambda_runtime_client"], "LambdaRuntimeClient")
    else:
        monkeypatch.setattr(client, "wait_next_invocation", None)
    assert not between_invocations(lambda: None)


def test_the_real_client_has_what_we_look_for() -> None:
    """AWS's own interface client is one that is recognized."""
    real = importlib.import_module("awslambdaric.lambda_runtime_client")
    wait = real.LambdaRuntimeClient.wait_next_invocation
    try:
        assert between_invocations(lambda: None)
        assert real.LambdaRuntimeClient.wait_next_invocation is not wait
    finally:
        del real.LambdaRuntimeClient.wait_next_invocation


def test_an_idle_worker_and_a_daemon_are_not_at_work_but_anybody_else_is() -> None:
    """Only a thread that might be in the middle of something keeps an interpreter."""
    stop = threading.Event()
    before = set(busy_threads())
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="idle") as pool:
        pool.submit(int).result()
        daemon = threading.Thread(target=stop.wait, name="a daemon", daemon=True)
        worker = threading.Thread(target=stop.wait, name="a worker")
        daemon.start()
        worker.start()
        deadline = threading.Event()
        for _ in range(100):
            if set(busy_threads()) - before == {"a worker"}:
                break
            deadline.wait(0.02)
        assert set(busy_threads()) - before == {"a worker"}
        task = pool.submit(stop.wait)
        deadline.wait(0.1)
        assert "idle_0" in busy_threads()
        stop.set()
        task.result()
        worker.join()


def test_a_process_that_has_ended_is_no_obstacle_but_a_running_one_is() -> None:
    """A zombie is not at work."""
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert unknown_children([running.pid]) == [running.pid]
    assert running.stdin is not None
    running.stdin.close()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert unknown_children([running.pid]) == []
    running.wait()


def test_a_failed_start_that_is_no_recycles_is_lambdas_to_repeat() -> None:
    """On a first start nothing is done: the error goes to Lambda."""
    assert not recycle.start_again_after_failure({**ON_LAMBDA})
    assert not recycle.start_again_after_failure({})
