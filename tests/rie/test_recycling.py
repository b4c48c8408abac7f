"""A fresh interpreter in the same environment, under AWS's own runtime: what callers and handlers see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.soak.environment import ExecutionEnvironment

Emulate = Callable[..., ExecutionEnvironment]

LEAK = """
    import os
    kept = []
    def handler(event, context):
        kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(event.get("leak", 0)))
        {more}
        return os.getpid()
"""


def settled(lambda_: ExecutionEnvironment, **event: Any) -> Any:
    """Invoke once, and once more, so that what happens between the two has happened."""
    first = lambda_.invoke(event)
    second = lambda_.invoke({})
    assert first.error is None, first.error
    assert second.error is None, second.error
    return second.value


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.14"])
def test_each_of_awss_ways_to_ask_for_an_event_is_recycled(emulate: Emulate, version: str) -> None:
    """From Python 3.12 on, the client asks for events in a thread; before, in the main one."""
    env = {"AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}"}
    lambda_ = emulate(LEAK.format(more=""), wrapped=True, timeout=30, env=env)
    pid = settled(lambda_)
    assert settled(lambda_, leak=600) == pid
    assert (lambda_.recycles, lambda_.restarts) == (1, 0)
    (told,) = lambda_.records("RECYCLED")
    assert told["resources"] == ["descriptors"]


def test_callbacks_run_before_a_recycle_and_a_hanging_one_is_left_behind(emulate: Emulate) -> None:
    """Pools are closed first, once, and in a second at most."""
    source = """
        import os, time
        from resilient_runtime import on_recycle
        kept = []
        on_recycle(lambda: time.sleep(60))
        @on_recycle
        def close():
            print("pool closed", flush=True)
        def handler(event, context):
            kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(event.get("leak", 0)))
    """
    lambda_ = emulate(source, wrapped=True, timeout=30)
    settled(lambda_)
    assert lambda_.invoke({"leak": 600}).seconds < 2
    settled(lambda_)
    assert lambda_.recycles == 1
    assert lambda_.lines().count("pool closed") == 1
    assert any("was left behind" in line for line in lambda_.lines())


def test_a_thread_at_work_keeps_its_interpreter_until_it_has_ended(emulate: Emulate) -> None:
    """A worker that may be in the middle of something is waited for, and that is told."""
    source = LEAK.format(
        more="""
        if event.get("leak"):
            import threading
            threading.Thread(target=threading.Event().wait, args=(1.0,), name="writer").start()
        """.strip().replace("\n", "\n" + " " * 4)
    )
    lambda_ = emulate(source, wrapped=True, timeout=30)
    settled(lambda_)
    settled(lambda_, leak=600)
    assert lambda_.recycles == 0
    assert any("these threads may be at work: writer" in line for line in lambda_.lines())


@pytest.mark.parametrize("failure", ["raise ConnectionError('the network is not there yet')", "exit(1)"])
def test_a_start_that_fails_after_a_recycle_is_tried_again(emulate: Emulate, failure: str) -> None:
    """A module that gives up while it is imported anew does not fail the invocation that was answered."""
    source = f"""
        import os, pathlib
        starts = pathlib.Path(os.environ["TMPDIR"] if "TMPDIR" in os.environ else "/tmp") / "starts"
        starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
        if len(starts.read_text()) == 2:
            {failure}
        kept = []
        def handler(event, context):
            kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(event.get("leak", 0)))
            return starts.read_text()
    """
    lambda_ = emulate(source, wrapped=True, timeout=30)
    settled(lambda_)
    assert settled(lambda_, leak=600) == "xxx"
    assert lambda_.restarts == 0


def test_starts_that_all_fail_fail_no_invocation_that_was_answered(emulate: Emulate) -> None:
    """After three it waits for the next event, which starts it, or fails as its start does; and so on."""
    source = """
        import os, pathlib
        starts = pathlib.Path(os.environ["TMPDIR"] if "TMPDIR" in os.environ else "/tmp") / "starts"
        starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
        if 2 <= len(starts.read_text()) <= 5:
            raise ConnectionError("the network is not there yet")
        kept = []
        def handler(event, context):
            kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(event.get("leak", 0)))
            return starts.read_text()
    """
    lambda_ = emulate(source, wrapped=True, timeout=30)
    settled(lambda_)
    assert lambda_.invoke({"leak": 600}).value == "x"
    failed = lambda_.invoke({})
    assert failed.error is not None
    assert failed.error.type == "ConnectionError"
    assert lambda_.invoke({}).value == "xxxxxx"
    assert lambda_.restarts == 0


def test_a_handler_that_was_interrupted_leaves_nothing_half_done(emulate: Emulate) -> None:
    """The next invocation that has the time is the last one to see what an interruption left behind."""
    source = """
        import os, threading, time
        lock = threading.Lock()
        def handler(event, context):
            held = lock.locked()
            if event.get("wait"):
                lock.acquire()
                time.sleep(30)
            return held
    """
    lambda_ = emulate(source, wrapped=True, timeout=3, memory=1769)
    settled(lambda_)
    late = lambda_.invoke({"wait": True})
    assert late.error is not None
    assert late.error.type == "InvocationTimedOut"
    assert settled(lambda_) is False
    assert (lambda_.recycles, lambda_.restarts) == (1, 0)
    (told,) = lambda_.records("RECYCLED")
    assert (told["cause"], told["resources"]) == ("interruption", [])


def test_too_little_time_left_recycles_nothing(emulate: Emulate) -> None:
    """With a timeout of one second and a fourteenth of a processor, there is no room for a start."""
    lambda_ = emulate(LEAK.format(more=""), wrapped=True, timeout=1)
    settled(lambda_)
    settled(lambda_, leak=600)
    assert lambda_.recycles == 0
    assert any("a longer timeout or more memory makes room" in line for line in lambda_.lines())


def test_without_recycling_a_repeated_source_gets_a_new_process(emulate: Emulate) -> None:
    """The process ends before it takes up an event that would fail, and the next one starts afresh."""
    env = {"RESILIENT_HEALTH": '{"reexec":false,"retried":true}'}
    lambda_ = emulate(LEAK.format(more=""), wrapped=True, timeout=30, env=env)
    for _ in range(20):
        settled(lambda_, leak=20)
    errors = [lambda_.invoke({"leak": 20}).error for _ in range(40)]
    failed = [error for error in errors if error is not None]
    assert {error.type for error in failed} == {"Runtime.ExitError"}
    assert len(failed) == len(lambda_.records("EXITED")) == lambda_.restarts == 1


def test_a_crash_does_not_make_the_next_process_forget_what_was_left_in_tmp(emulate: Emulate) -> None:
    """Lambda keeps /tmp when a process ends; what the dead one left behind is still cleaned up."""
    source = """
        import os, pathlib
        def handler(event, context):
            if event.get("crash"):
                os._exit(1)
            for number in range(event.get("files", 0)):
                pathlib.Path(f"/tmp/page-{number}-{os.getpid()}.html").write_bytes(bytes(1 << 20))
            return len(list(pathlib.Path("/tmp").glob("page-*")))
    """
    lambda_ = emulate(source, wrapped=True, timeout=30, tmp=64, env={"RESILIENT_OWN_TMP": "1"})
    settled(lambda_)
    settled(lambda_, files=25)
    lambda_.invoke({"crash": True})
    assert settled(lambda_) == 25
    assert settled(lambda_, files=15) < 25


def test_a_health_check_runs_no_code_of_the_users(emulate: Emulate) -> None:
    """The event with that one member is answered by us, and is neither started nor counted."""
    source = "def handler(event, context):\n    raise RuntimeError('not me')\n"
    lambda_ = emulate(source, wrapped=True)
    answer = lambda_.invoke({"resilient_health_check": True}).value
    assert (answer["status"], answer["invocation"]) == ("healthy", 0)
    assert answer["percent"]["memory"] > 1
    assert lambda_.records("STARTED") == []


def test_a_handler_that_uses_up_all_descriptors_at_once_fails_once(emulate: Emulate) -> None:
    """Its failure is told with what leaked, and the next invocation has all descriptors again."""
    source = LEAK.format(more="")
    lambda_ = emulate(source, wrapped=True, timeout=30)
    settled(lambda_)
    assert lambda_.invoke({"leak": 2_000}).error is not None
    settled(lambda_, leak=100)
    assert (lambda_.recycles, lambda_.restarts) == (1, 0)
    (failed,) = lambda_.records("FAILED")
    assert "Too many open files" in failed["error"]
    assert len(lambda_.records("LEAK")) == 1
