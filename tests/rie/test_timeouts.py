"""What becomes of an invocation that takes too long, on AWS's own binary, which kills it at its timeout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from resilient_runtime.settings import Settings

from resilient_constructs.soak import ExecutionEnvironment

Emulate = Callable[..., ExecutionEnvironment]

_HANDLER = """
    import ctypes, hashlib, os, socket, time

    left, right = socket.socketpair()

    def handler(event, context):
        match event.get("do"):
            case "sleep":
                time.sleep(30)
            case "loop":
                while True:
                    pass
            case "socket":
                left.recv(1)
            case "hold the lock and wait":
                ctypes.PyDLL(None).usleep(30_000_000)
            case "hold the lock and work":
                sum(range(10**11))
            case "work without the lock":
                hashlib.pbkdf2_hmac("sha512", b"", b"", 10**8)
        return os.getpid()
"""
_DELIVER = """
    import time

    def deliver(order, call):
        print("begun", order["id"])
        time.sleep(order["seconds"])
        print("done", order["id"])
"""


def _batch(*seconds: float) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "body": f'{{"id": {number}, "seconds": {one}}}',
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSourceARN": "arn:aws:sqs:eu-west-1:111111111111:orders",
            }
            for number, one in enumerate(seconds)
        ]
    }


def _line(environment: ExecutionEnvironment, text: str) -> int:
    """Which line of the log has ``text``."""
    return next(number for number, line in enumerate(environment.lines()) if text in line)


@pytest.mark.parametrize("do", ["sleep", "loop", "socket", "hold the lock and wait"])
def test_a_handler_that_can_be_interrupted_says_where_it_was(emulate: Emulate, do: str) -> None:
    """Its record precedes an error of ours, the process stays, and the next invocation is served by it."""
    # Of three seconds, as the margin is a tenth: a busy machine may take 0.1 s from the thread that watches.
    environment = emulate(_HANDLER, wrapped=True, timeout=3)
    before = environment.invoke({})
    late = environment.invoke({"do": do})
    after = environment.invoke({})
    assert late.error is not None
    assert late.error.type == "InvocationTimedOut"
    assert "at function.py:" in late.error.message
    assert "in handler" in late.error.message
    assert "in handler" in late.error.stack[-1], "the stack is the handler's, and ends there"
    assert late.seconds < 3
    assert before.value == after.value
    assert environment.restarts == 0
    (told,) = environment.records("DEADLINE")
    assert told["DeadlineExceeded"] == 1
    assert 0 < told["remaining_ms"] <= 600
    assert "function.py" in told["stacks"]
    assert _line(environment, '"DEADLINE"') < _line(environment, '"FAILED"')


def test_c_code_that_holds_the_lock_is_told_before_the_kill(emulate: Emulate) -> None:
    """Where Python itself is stuck until Lambda's timeout, its stack is in the log before Lambda kills it."""
    environment = emulate(_HANDLER, wrapped=True, timeout=1)
    environment.invoke({})
    late = environment.invoke({"do": "hold the lock and work"})
    after = environment.invoke({})
    assert late.error is not None
    assert late.error.type == "Sandbox.Timedout"
    assert after.error is None
    assert environment.restarts == 1
    assert _line(environment, "in handler") < _line(environment, "(rapid) Invoke failed")


def test_c_code_without_the_lock_is_told_with_its_request(emulate: Emulate) -> None:
    """Where C code does not look for signals but gave the lock away, the record comes before the kill."""
    environment = emulate(_HANDLER, wrapped=True, timeout=1)
    environment.invoke({})
    late = environment.invoke({"do": "work without the lock"})
    assert late.error is not None
    assert late.error.type == "Sandbox.Timedout"
    told = environment.records("DEADLINE")[0]
    assert told["request_id"] == environment.records("STARTED")[1]["request_id"]
    assert _line(environment, '"DEADLINE"') < _line(environment, "(rapid) Invoke failed")


def test_an_invocation_in_time_says_nothing_of_a_deadline(emulate: Emulate) -> None:
    """Invocations that follow each other closely have neither record nor dump."""
    environment = emulate(_HANDLER, wrapped=True, timeout=1)
    for _ in range(200):
        assert environment.invoke({}).error is None
    assert not environment.records("DEADLINE")
    assert not [line for line in environment.lines() if not line.startswith("{")]


@pytest.fixture
def consumer(emulate: Emulate) -> ExecutionEnvironment:
    """A consumer of a queue with a timeout of two seconds."""
    settings = Settings(
        handler="function.deliver", mode="messages", dead_letter_queue_url="https://sqs.invalid/1/dead"
    )
    return emulate(_DELIVER, wrapped=True, timeout=2, env=settings.to_env())


def test_a_batch_begins_nothing_it_cannot_end(consumer: ExecutionEnvironment) -> None:
    """Ten records of 0.3 s in 2 s: what was completed stays, the rest returns unbegun, nothing is twice."""
    reply = consumer.invoke(_batch(*[0.3] * 10))
    assert reply.error is None
    returned = [one["itemIdentifier"] for one in reply.value["batchItemFailures"]]
    completed = [one["message_id"] for one in consumer.records("COMPLETED")]
    begun = [line for line in consumer.lines() if line.startswith("begun")]
    done = [line for line in consumer.lines() if line.startswith("done")]
    assert 4 <= len(completed) <= 5
    assert completed + returned == [f"message-{number}" for number in range(10)]
    assert len(begun) == len(done) == len(completed)
    assert len({*begun}) == len(begun)
    assert [one["message_id"] for one in consumer.records("HELD")] == returned
    assert not consumer.records("DEADLINE")
    assert reply.seconds < 2


def test_one_slow_record_costs_the_others_nothing(consumer: ExecutionEnvironment) -> None:
    """A record that hangs is interrupted and returned with those not begun; what was completed stays so."""
    reply = consumer.invoke(_batch(0, 0, 30, 0, 0))
    again = consumer.invoke(_batch(0, 0))
    assert reply.error is None
    assert [one["itemIdentifier"] for one in reply.value["batchItemFailures"]] == [
        "message-2",
        "message-3",
        "message-4",
    ]
    assert [one["message_id"] for one in consumer.records("FAILED")] == ["message-2"]
    assert consumer.records("DEADLINE")[0]["message_id"] == "message-2"
    assert again.value == {"batchItemFailures": []}
    assert consumer.restarts == 0
