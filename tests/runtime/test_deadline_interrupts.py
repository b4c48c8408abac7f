"""The deadline with the operating system's real signals, each time in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

_RUNTIME = Path(__file__).parents[2] / "runtime"
_BEFORE = """
import json, os, signal, socket, sys, threading, time
from resilient_runtime.deadline import Deadline
from resilient_runtime.interruption import DeadlineExceeded, exceeded_in

firings, told, said = [], [], {}
deadline = Deadline(setting=None, on_fire=firings.append, tell=told.append)

def invoke(handler, seconds=0.3):
    '''Half of 0.3 s is the handler's.'''
    began = time.monotonic()
    deadline.arm(lambda: int((began + seconds - time.monotonic()) * 1000))
    try:
        try:
            deadline.enter()
            answer = handler()
        finally:
            deadline.leave()
    except BaseException as error:
        answer = type(error).__name__
        if exceeded_in(error) is None:
            raise
    finally:
        deadline.disarm()
    said["seconds"] = time.monotonic() - began
    return answer
"""
_AFTER = """
said["times"] = len(firings)
said["doing"] = [one.doing for one in firings]
said["told"] = told
print(json.dumps(said))
"""


def _run(source: str) -> dict[str, Any]:
    """What ``source`` has put into ``said``, and the dump that was written, if any."""
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + textwrap.dedent(source) + _AFTER],
        env={"PYTHONPATH": str(_RUNTIME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    said["dump"] = done.stderr
    return said


@pytest.mark.parametrize(
    "waiting",
    [
        "time.sleep(9)",
        "for _ in iter(int, 1): pass",
        "(pair := socket.socketpair()) and pair[0].recv(1)",
        "threading.Event().wait()",
        "(lock := threading.Lock()).acquire() and lock.acquire()",
        "(thread := threading.Thread(target=time.sleep, args=(1,), daemon=True)).start() or thread.join()",
        "__import__('queue').Queue().get()",
        "__import__('select').select([], [], [])",
        "__import__('subprocess').run(['sleep', '9'])",
        "__import__('re').match('(a+)+$', 'a' * 60 + 'b')",
        "__import__('asyncio').run(__import__('asyncio').sleep(9))",
        "int('7' * 4000) ** 300000",
        "__import__('ctypes').PyDLL(None).usleep(9_000_000)",
    ],
)
def test_what_a_handler_waits_in_is_interrupted(waiting: str) -> None:
    """A handler that waits, computes or runs a loop in this is interrupted before its time is over."""
    said = _run(f"""
        def handler():
            {waiting}
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert 0.14 < said["seconds"] < 0.9
    assert said["times"] >= 1
    assert "in handler" in said["doing"][0]


def test_a_retry_loop_does_not_swallow_it() -> None:
    """``except Exception`` around what is retried lets it pass, and ``finally`` is done."""
    said = _run("""
        def handler():
            while True:
                try:
                    time.sleep(9)
                except Exception:
                    continue
                finally:
                    said["cleaned"] = True
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["cleaned"]
    assert said["times"] == 1


def test_a_handler_may_catch_it_and_answer() -> None:
    """A handler that catches it returns what it has, as an ordinary answer."""
    said = _run("""
        def handler():
            try:
                time.sleep(9)
            except DeadlineExceeded:
                return "half of it"
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "half of it"


def test_what_swallows_everything_is_interrupted_again() -> None:
    """A bare ``except`` that goes on is interrupted again in what is left."""
    said = _run("""
        def handler():
            for _ in range(2):
                try:
                    time.sleep(9)
                except:
                    pass
            return "slept"
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "slept"
    assert said["times"] == 2
    assert said["seconds"] < 0.3


def test_a_finalizer_is_left_to_end() -> None:
    """It is not lost in a ``__del__``, where Python would print it and go on."""
    said = _run("""
        class Slow:
            def __del__(self):
                end = time.monotonic() + 0.18
                while time.monotonic() < end:
                    pass
                said["finalized"] = True
        def handler():
            slow = Slow()
            del slow
            time.sleep(9)
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["finalized"]
    assert "ignored" not in said["dump"]


def test_a_task_group_and_its_threads() -> None:
    """It leaves asyncio through a task group, past a thread that still works, and is recognized."""
    said = _run("""
        import asyncio
        async def one():
            while True:
                pass
        async def both():
            async with asyncio.TaskGroup() as group:
                group.create_task(one())
                group.create_task(asyncio.to_thread(time.sleep, 0.5))
        said["answer"] = invoke(lambda: asyncio.run(both()), seconds=1)
    """)
    assert said["answer"] in ("BaseExceptionGroup", "DeadlineExceeded")
    assert said["seconds"] < 1.4


def test_a_pool_that_waits_for_its_threads_is_left_in_time() -> None:
    """The end of ``with ThreadPoolExecutor()``, which waits for its threads, is interrupted too."""
    said = _run("""
        from concurrent.futures import ThreadPoolExecutor
        def handler():
            with ThreadPoolExecutor() as pool:
                pool.submit(time.sleep, 0.6).result()
        said["answer"] = invoke(handler)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["seconds"] < 0.3
    assert said["times"] == 2


def test_c_code_with_the_lock_is_dumped_while_it_runs() -> None:
    """While C code holds the interpreter lock, the stack is written in the middle of it."""
    said = _run("""
        def handler():
            sum(range(100_000_000))
        said["answer"] = invoke(handler, seconds=0.5)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert "most recent call first" in said["dump"]
    assert "in handler" in said["dump"]


def test_c_code_without_the_lock_is_told_while_it_runs() -> None:
    """While C code works without the lock, the deadline is told before it returns."""
    said = _run("""
        import hashlib
        def handler():
            hashlib.pbkdf2_hmac("sha512", b"", b"", 1_000_000)
            said["at the end"] = len(firings)
        said["answer"] = invoke(handler, seconds=0.3)
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["times"] >= 1
    assert not said["dump"]


def test_telling_that_hangs_is_not_waited_for() -> None:
    """When the record cannot be written because the log is stuck, the handler is interrupted nevertheless."""
    said = _run("""
        deadline.on_fire = lambda firing: time.sleep(5)
        said["answer"] = invoke(lambda: time.sleep(9))
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["seconds"] < 0.3


def test_a_child_process_has_no_deadline() -> None:
    """A fork of the handler outlives the deadline undisturbed."""
    said = _run("""
        def handler():
            child = os.fork()
            if child == 0:
                time.sleep(0.4)
                os._exit(7)
            said["child"] = child
            time.sleep(9)
        said["answer"] = invoke(handler)
        said["code"] = os.waitstatus_to_exitcode(os.waitpid(said["child"], 0)[1])
    """)
    assert said["answer"] == "DeadlineExceeded"
    assert said["code"] == 7


def test_a_fork_that_handles_invocations_is_guarded() -> None:
    """A child that goes on to handle invocations, as Lambda's worker processes do, has its own guard."""
    said = _run("""
        invoke(lambda: None)
        child = os.fork()
        if child == 0:
            os._exit(9 if invoke(lambda: time.sleep(9)) == "DeadlineExceeded" else 1)
        said["code"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """)
    assert said["code"] == 9


def test_somebody_elses_handler_is_respected() -> None:
    """A SIGALRM handler of the user's keeps its signal; that is told once, and so is each deadline."""
    said = _run("""
        alarms = []
        signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
        def handler():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(0.25)
            return "slept"
        said["answers"] = [invoke(handler), invoke(handler)]
        said["alarms"] = len(alarms)
    """)
    assert said["answers"] == ["slept", "slept"]
    assert said["alarms"] == 2
    assert len(said["told"]) == 1
    assert "SIGALRM has a handler already, __main__.<lambda>" in said["told"][0]
    assert said["times"] == 2


def test_a_borrowed_signal_that_is_given_back_guards_again() -> None:
    """A handler may use ``signal.alarm`` and give it back; the next invocations are guarded, dump and all."""
    said = _run("""
        class TooSlow(Exception):
            pass
        def slow(*_):
            raise TooSlow
        def handler():
            before = signal.signal(signal.SIGALRM, slow)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                time.sleep(9)
            except TooSlow:
                return "own timeout"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
        said["first"] = invoke(handler)
        time.sleep(0.3)
        def held():
            sum(range(100_000_000))
        said["second"] = invoke(held)
    """)
    assert said["first"] == "own timeout"
    assert said["second"] == "DeadlineExceeded"
    assert "in held" in said["dump"]


def test_another_thread_is_told_of_and_not_interrupted() -> None:
    """A handler outside of the main thread cannot be interrupted; its deadline is told with its stack."""
    said = _run("""
        def handler():
            time.sleep(0.2)
            return "slept"
        thread = threading.Thread(target=lambda: said.update(answer=invoke(handler)))
        thread.start()
        thread.join()
    """)
    assert said["answer"] == "slept"
    assert len(said["told"]) == 1
    assert "main thread" in said["told"][0]
    assert "in handler" in said["doing"][0]


def test_an_end_close_to_the_deadline_is_one_or_the_other() -> None:
    """A handler that ends just when it is due either answers or is interrupted, and leaves no timer."""
    said = _run("""
        answers = {}
        for step in range(60):
            def handler():
                end = time.monotonic() + 0.01 + step / 6000
                while time.monotonic() < end:
                    pass
                return "answered"
            answer = invoke(handler, seconds=0.03)
            answers[answer] = answers.get(answer, 0) + 1
            for _ in range(200):
                pass
        said["answers"] = answers
        said["timer"] = signal.getitimer(signal.ITIMER_REAL)[0]
        time.sleep(0.05)
    """)
    assert set(said["answers"]) == {"answered", "DeadlineExceeded"}
    assert said["timer"] == 0


def test_nothing_of_the_handler_is_kept_alive() -> None:
    """What an interrupted handler had open is let go with its exception, not at a later collection."""
    said = _run("""
        import gc, weakref
        gc.disable()
        class Open:
            pass
        held = []
        def handler():
            one = Open()
            held.append(weakref.ref(one))
            time.sleep(9)
        for _ in range(2):
            invoke(handler)
        time.sleep(0.02)
        said["alive"] = sum(one() is not None for one in held)
    """)
    assert said["alive"] == 0
