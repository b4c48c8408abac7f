"""The execution environment on AWS's own binary: Lambda's habits, and nobody left behind."""

from __future__ import annotations

from collections.abc import Callable

from resilient_constructs.soak import ExecutionEnvironment

Emulate = Callable[..., ExecutionEnvironment]

_FUNCTION = """
    import os, sys, time

    def handler(event, context):
        match event.get("do"):
            case "raise":
                raise ValueError("no such order")
            case "exit":
                sys.exit(3)
            case "sleep":
                time.sleep(9)
            case "write":
                with open("/tmp/left", "wb") as file:
                    file.write(bytes(1 << 20))
            case "allocate":
                return len(bytearray(b"x" * (200 << 20)))
        print("called")
        return {"pid": os.getpid(), "task_root": os.environ["LAMBDA_TASK_ROOT"], "tmp": os.listdir("/tmp")}
"""


def test_an_exception_leaves_the_process_as_it_is(emulate: Emulate) -> None:
    """An uncaught exception is told with its stack, and the next invocation finds the same process."""
    environment = emulate(_FUNCTION)
    before = environment.invoke({})
    failed = environment.invoke({"do": "raise"})
    after = environment.invoke({})
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "no such order")
    assert "function.py" in failed.error.stack[-1]
    assert before.value["pid"] == after.value["pid"]
    assert environment.restarts == 0


def test_an_end_is_told_and_the_next_invocation_has_another_process(emulate: Emulate) -> None:
    """sys.exit and a timeout fail their invocation, and each is followed by a new process."""
    environment = emulate(_FUNCTION, timeout=1)
    environment.invoke({})
    ended = environment.invoke({"do": "exit"})
    environment.invoke({})
    late = environment.invoke({"do": "sleep"})
    environment.invoke({})
    assert ended.error is not None
    assert ended.error.type == "Runtime.ExitError"
    assert late.error is not None
    assert late.error.type == "Sandbox.Timedout"
    assert environment.restarts == 2


def test_tmp_is_its_own_and_survives_a_restart(emulate: Emulate) -> None:
    """/tmp is empty at first, measured in bytes, limited, and not cleared when the process ends."""
    environment = emulate(_FUNCTION, tmp=1)
    empty = environment.invoke({})
    full = environment.invoke({"do": "write"})
    refused = environment.invoke({"do": "write"})
    environment.invoke({"do": "exit"})
    after = environment.invoke({})
    assert empty.figures.tmp == 0
    assert full.error is None
    assert full.figures.tmp == 1 << 20
    assert refused.error is None, "it writes over what is there"
    assert "left" in after.value["tmp"]
    assert after.figures.tmp == 1 << 20


def test_too_much_memory_is_killed(emulate: Emulate) -> None:
    """A handler that takes more memory than it has is killed in that invocation, and the next one works."""
    environment = emulate(_FUNCTION)
    environment.invoke({})
    killed = environment.invoke({"do": "allocate"})
    after = environment.invoke({})
    assert killed.error is not None
    assert killed.error.type == "Runtime.ExitError"
    assert "killed" in killed.error.message
    assert after.error is None
    assert environment.restarts == 1


def test_figures_and_lines_are_the_functions(emulate: Emulate) -> None:
    """Descriptors, memory and threads are the runtime's; what is printed is without the platform's lines."""
    environment = emulate(_FUNCTION)
    reply = environment.invoke({})
    assert 3 <= (reply.figures.descriptors or 0) <= 20
    assert 5 << 20 < (reply.figures.memory or 0) < 100 << 20
    assert reply.figures.threads == 1
    assert reply.figures.children == 0
    assert environment.lines() == ["called"]
