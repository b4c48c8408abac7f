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
from lambda_events import DEAD_LETTERS, App, batch_of, sqs_record
from resilient_runtime import Reject
from resilient_runtime.application import build, print_line
from resilient_runtime.handler_lookup import HandlerNotFound, find_handler

RUNTIME = Path(__file__).parents[2] / "runtime"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)

# What Lambda's bootstrap does: import the module, take the function, call it with JSON and a context.
BOOTSTRAP = """
import importlib, json, sys
module, _, name = "resilient_runtime.entry.handler".rpartition(".")
handler = getattr(importlib.import_module(module), name)
class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self):
        return 3000
answer = handler(json.loads(sys.argv[1]), Context())
print(json.dumps({"answer": answer, "modules": sorted(sys.modules)}))
"""


def invoke(task: Path, event: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point in a fresh interpreter, as Lambda would, with the user's code in ``task``."""
    return subprocess.run(
        [sys.executable, "-S", "-c", BOOTSTRAP, json.dumps(event)],
        env={"PYTHONPATH": f"{task}{os.pathsep}{RUNTIME}", "AWS_LAMBDA_FUNCTION_NAME": "Fn", **env},
        cwd=task,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A function's code as it is unpacked on Lambda."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "delivery.py").write_text(
        textwrap.dedent(
            """
            import sys
            from resilient_runtime import Call, Reject, current_correlation_id

            def deliver(order, call: Call):
                if order.get("poison"):
                    raise Reject("poison")
                print("id", current_correlation_id())

            def report(event, context):
                return {"got": event}

            async def later(order, call): ...
            """
        )
    )
    (tmp_path / "broken.py").write_text("import no_such_dependency\n")
    return tmp_path


def test_the_entry_point_runs_a_batch_as_lambda_would(task: Path) -> None:
    """In a fresh process with only environment variables, a batch is handled and told on standard output."""
    done = invoke(
        task,
        batch_of(sqs_record({"order": 1}, attributes={"correlation_id": "c-1"})),
        RESILIENT_HANDLER="shop.delivery.deliver",
        RESILIENT_MODE="messages",
        RESILIENT_DEAD_LETTER_QUEUE_URL=DEAD_LETTERS,
    )
    assert done.returncode == 0, done.stderr
    started, said, completed, health, last = done.stdout.splitlines()
    assert [json.loads(line)["status"] for line in (started, completed, health)] == [
        "STARTED",
        "COMPLETED",
        "HEALTH",
    ]
    assert said == "id c-1"
    assert json.loads(last)["answer"] == {"batchItemFailures": []}


def test_the_entry_point_runs_an_event_as_lambda_would(task: Path) -> None:
    """A plain handler gets the event and its answer is the answer; a path with slashes names it too."""
    done = invoke(task, {"order": 1}, RESILIENT_HANDLER="shop/delivery.report")
    assert json.loads(done.stdout.splitlines()[-1])["answer"] == {"got": {"order": 1}}


def test_a_cold_start_imports_nothing_dear(task: Path) -> None:
    """Neither boto3 nor Powertools nor logging is on the way to the first message."""
    done = invoke(
        task,
        batch_of(sqs_record({})),
        RESILIENT_HANDLER="shop.delivery.deliver",
        RESILIENT_MODE="messages",
        RESILIENT_DEAD_LETTER_QUEUE_URL=DEAD_LETTERS,
    )
    modules = set(json.loads(done.stdout.splitlines()[-1])["modules"])
    assert "resilient_runtime.batch" in modules
    dear = {
        "boto3",
        "botocore",
        "aws_lambda_powertools",
        "logging",
        "asyncio",
        "uuid",
        "traceback",
        "subprocess",
    }
    assert not dear & modules


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, ["RESILIENT_HANDLER is not set"]),
        ({"RESILIENT_HANDLER": "deliver"}, ["RESILIENT_HANDLER is 'deliver'", "module.function"]),
        ({"RESILIENT_HANDLER": "ship.deliver"}, ["'ship.deliver'", "no module 'ship'", "looked in: "]),
        ({"RESILIENT_HANDLER": "shop.ship.deliver"}, ["no module 'shop.ship'"]),
        (
            {"RESILIENT_HANDLER": "shop.delivery.ship"},
            ["no function 'ship'", "deliver", "report", "delivery.py"],
        ),
        ({"RESILIENT_HANDLER": "shop.delivery.later"}, ["later is asynchronous", "asyncio.run()"]),
        ({"RESILIENT_HANDLER": "broken.deliver"}, ["No module named 'no_such_dependency'"]),
        ({"RESILIENT_HANDLER": "shop.delivery.report", "RESILIENT_MODE": "odd"}, ["RESILIENT_MODE is 'odd'"]),
        (
            {"RESILIENT_HANDLER": "shop.delivery.deliver", "RESILIENT_MODE": "messages"},
            ["RESILIENT_DEAD_LETTER_QUEUE_URL is not set"],
        ),
    ],
)
def test_what_is_missing_is_named_when_the_function_starts(
    task: Path, env: dict[str, str], words: list[str]
) -> None:
    """A wrong setting fails the init phase with one error that says what was looked for and where."""
    done = invoke(task, {}, **env)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), last
    if "looked in: " in words:
        assert str(task) in last


def test_an_import_error_of_the_users_own_is_left_alone(monkeypatch: pytest.MonkeyPatch, task: Path) -> None:
    """A dependency that is missing is reported as itself, not as a missing handler."""
    monkeypatch.syspath_prepend(str(task))
    with pytest.raises(ModuleNotFoundError) as raised:
        find_handler("broken.deliver")
    assert not isinstance(raised.value, HandlerNotFound)


@given(JSON, JSON)
def test_a_wrapped_handler_gives_and_takes_the_same(event: Any, answer: Any) -> None:
    """In mode event the handler gets the very event and context, and its very answer goes back."""
    seen: list[tuple[Any, Any]] = []

    def handle(event: Any, context: Any) -> Any:
        seen.append((event, context))
        return answer

    context = object()
    app = App(handle, mode="event")
    assert app(event, context) is answer
    assert seen[0][0] is event
    assert seen[0][1] is context


@pytest.mark.parametrize("error", [ValueError("x"), Reject("poison"), SystemExit(2), KeyboardInterrupt()])
def test_what_a_handler_raises_goes_on_unchanged(error: BaseException) -> None:
    """In mode event the very exception reaches Lambda, a rejection too, after one FAILED record."""

    def handle(event: Any, context: Any) -> None:
        raise error

    app = App(handle, mode="event")
    with pytest.raises(type(error)) as raised:
        app({"id": 1})
    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert app.statuses() == ["STARTED", "FAILED"]


def test_no_clock_and_no_output_need_be_handed_in(capsys: pytest.CaptureFixture[str]) -> None:
    """By default the records go to standard output with the machine's time."""
    handler = build({"RESILIENT_HANDLER": "math.pow"})
    assert handler(2, 3) == 8
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [
        "STARTED",
        "COMPLETED",
        "HEALTH",
    ]


def test_a_closed_output_does_not_fail_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be written is given up, and the message is not."""

    class Closed:
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stdout", Closed())
    print_line("{}")


def test_the_public_names_are_few() -> None:
    """What a handler may import is this list; a change to it is a decision."""
    import resilient_runtime

    assert dir(resilient_runtime) == [
        "Breaker",
        "BreakerPolicy",
        "Call",
        "CircuitOpen",
        "ConfigurationUnavailable",
        "Connections",
        "DeadlineExceeded",
        "DynamoDBCircuits",
        "GaveUp",
        "PoolExhausted",
        "Reject",
        "Retry",
        "RetryBudget",
        "SendFailed",
        "SlowDown",
        "StorageFirstClient",
        "UnknownConfiguration",
        "UnknownDownstream",
        "add_correlation_id",
        "configuration",
        "current_call",
        "current_correlation_id",
        "keep_in_tmp",
        "on_recycle",
    ]
    for name in dir(resilient_runtime):
        assert getattr(getattr(resilient_runtime, name), "__name__", name) == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        resilient_runtime.nothing  # noqa: B018
