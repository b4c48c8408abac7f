from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import App, batch_of, bridge_event, sqs_record
from resilient_runtime import Call, Reject
from resilient_runtime.deadline import Firing
from resilient_runtime.diagnostics import Diagnostics
from resilient_runtime.handler_lookup import find_handler, folder_of
from resilient_runtime.traces import frames_of, user_frames

RUNTIME = Path(__file__).parents[2] / "runtime"


def caught(function: Any, *arguments: Any) -> BaseException:
    """What a function raises."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        function(*arguments)
    return raised.value


def test_the_users_own_frames_are_told() -> None:
    """Not Python's, not an installed package's, not this runtime's; relative to the handler's folder."""
    frames = [
        ("/var/lang/lib/python3.12/json/decoder.py", 355, "raw_decode"),
        ("/var/task/shop/orders.py", 7, "parse"),
        ("/opt/python/resilient/thing.py", 3, "x"),
        ("/var/task/shop/delivery.py", 21, "deliver"),
        (str(RUNTIME / "resilient_runtime" / "batch.py"), 1, "_settle"),
        ("<frozen importlib._bootstrap>", 1, "_call"),
    ]
    assert user_frames(frames, home="/var/task") == [
        "shop/orders.py:7 in parse",
        "shop/delivery.py:21 in deliver",
    ]
    assert user_frames(frames[:1], home="/var/task") == [
        "/var/lang/lib/python3.12/json/decoder.py:355 in raw_decode"
    ]
    assert user_frames([], home="") == []


def test_at_most_five_frames_are_told() -> None:
    """The innermost of a deep recursion."""

    def down(depth: int) -> None:
        if not depth:
            raise ValueError
        down(depth - 1)

    error = caught(down, 50)
    assert len(user_frames(frames_of(error.__traceback__), home="")) == 5


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["delivery.py"], "delivery.deliver"),
        (["shop/__init__.py", "shop/delivery.py"], "shop.delivery.deliver"),
        (["shop/__init__.py"], "shop.deliver"),
        (["shop/a/b.py"], "shop/a/b.deliver"),
    ],
)
def test_the_users_folder_is_where_the_outermost_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], path: str
) -> None:
    """However deep the handler's module lies, with and without packages."""
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("def deliver(order, call): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    find_handler(path)
    try:
        assert folder_of(path) == str(tmp_path)
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_a_module_without_a_file_has_no_folder() -> None:
    """A handler may be built in."""
    assert folder_of("sys.exit") == folder_of("nothing.there") == ""


def test_a_stack_hides_the_secrets_of_messages_and_of_code() -> None:
    """Causes are told too, and a long message keeps the frames from being cut off."""

    def first() -> None:
        raise ConnectionError("https://jo:hunter2@db/?token=abc")

    def second() -> None:
        try:
            first()
        except ConnectionError as error:
            raise ValueError("x" * 100_000) from error

    diagnostics = Diagnostics()
    stack = diagnostics.stack(caught(lambda: second()))
    assert len(stack) <= 8193
    assert "in first" in stack
    assert "in second" in stack
    assert "ConnectionError: https://[hidden]@db/?token=[hidden]" in stack
    assert stack.endswith("x…\n")


def test_a_stack_of_a_group_is_told() -> None:
    """Every member of an exception group is in it, without its secrets."""
    group = ExceptionGroup("both", [ValueError("password=hunter2"), KeyError("k")])
    stack = Diagnostics().stack(group)
    assert "password=[hidden]" in stack
    assert "KeyError: 'k'" in stack
    assert "hunter2" not in stack


class BrokenFacts:
    """Facts that cannot be had."""

    def __init__(self, facts: object) -> None:
        self.facts = facts

    def __call__(self) -> Any:
        """Raise, or give something odd."""
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts


@pytest.mark.parametrize("facts", [RuntimeError("no"), {"a": float("nan")}, {}, None, {"a": object()}])
def test_what_cannot_be_found_out_is_left_out(facts: object) -> None:
    """The members around it are JSON still."""
    diagnostics = Diagnostics(facts=BrokenFacts(facts))
    members = diagnostics.of_failure(Call(), ValueError("x"), {"id": 1})
    record = json.loads(f'{{"first":1{members}}}')
    assert record["event"] == {"id": 1}
    assert record["doing"] == {"at": []}
    assert ("a" in record) == (type(facts) is dict and type(facts.get("a")) is object)


def test_the_deadline_tells_the_call_in_progress() -> None:
    """A downstream call that has not ended is what it waits for."""
    call = Call()
    with call.downstream("Outer"), call.downstream("Courier", timeout=3):
        members = Diagnostics().of_deadline(call, Firing(1, "at shop.py:7 in deliver", "stacks", 1, 1, None))
    record = json.loads(f"{{{members[1:]}}}")
    assert record["doing"]["at"] == ["at shop.py:7 in deliver"]
    assert (record["doing"]["downstream"], record["doing"]["downstream_call"]) == ("Courier", "in progress")
    assert record["stacks"] == "stacks"


def test_the_deadline_may_come_between_two_calls() -> None:
    """Then there is none to tell of."""
    members = Diagnostics().of_deadline(None, Firing(1, "at shop.py:7", "stacks", 1, 1, None))
    assert json.loads(f"{{{members[1:]}}}")["doing"] == {"at": ["at shop.py:7"]}


@given(st.lists(st.booleans(), max_size=30))
def test_the_call_in_progress_is_the_innermost_that_is_open(steps: list[bool]) -> None:
    """Calls may be nested and follow each other; when none is open, the last one is told."""
    call = Call()
    opened: list[Any] = []
    last: Any = None
    for enter in steps:
        if enter:
            crossing = call.downstream(f"{len(opened)}")
            crossing.__enter__()
            opened.append(crossing)
            last = crossing
        elif opened:
            closed = opened.pop()
            closed.__exit__(None, None, None)
            last = opened[-1] if opened else closed
        assert call.crossing is last
        assert last is None or (last.outcome is None) == bool(opened)


def test_a_failed_message_tells_its_body_and_attributes() -> None:
    """As the queue has them, envelope and all, without their secrets."""

    def handle(body: Any, call: Call) -> None:
        raise ValueError("no")

    app = App(handle, RESILIENT_REDACTION='{"paths":["$.customer.address"]}')
    event = bridge_event({"customer": {"address": "secret street"}, "pin": 1})
    app(batch_of(sqs_record(event, attributes={"kind": "gift", "token": "abc", "raw": b"\xff"})))
    told = app.records[1]["event"]
    assert told["body"]["detail"] == {"customer": {"address": "[hidden]"}, "pin": "[hidden]"}
    assert told["attributes"] == {"kind": "gift", "token": "[hidden]", "raw": "[1 bytes]"}


def test_a_rejection_hides_the_secrets_of_its_reason_in_the_log_alone() -> None:
    """The dead-letter queue keeps the reason as it was given, beside the message that has it all anyway."""

    def handle(body: Any, call: Call) -> None:
        raise Reject("no such customer: jo@example.com")

    app = App(handle)
    app(batch_of(sqs_record()))
    assert app.records[1]["reason"] == "no such customer: [hidden]"
    assert app.dead_letters.stored[0][1].reason == "no such customer: jo@example.com"


def test_nothing_that_only_a_failure_needs_is_imported_before_one(tmp_path: Path) -> None:
    """The expressions of redaction and the traceback module wait for the first failure."""
    (tmp_path / "shop.py").write_text(
        textwrap.dedent(
            """
            import json, sys
            LATE = {"resilient_runtime.redaction", "traceback", "signal", "decimal"}
            def handle(event, context):
                if event == 1:
                    return sorted(LATE & set(sys.modules))
                raise ValueError
            """
        )
    )
    code = (
        "import json; from resilient_runtime.entry import handler\n"
        "early = handler(1, None)\n"
        "try: handler(2, None)\n"
        "except ValueError: pass\n"
        "print(json.dumps([early, handler(1, None)]))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{RUNTIME}", "RESILIENT_HANDLER": "shop.handle"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    early, late = json.loads(done.stdout.splitlines()[-1])
    assert early == []
    assert {"resilient_runtime.redaction", "traceback"} <= set(late)
