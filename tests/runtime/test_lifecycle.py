from __future__ import annotations

import time
from typing import Any

import pytest
from lambda_events import App, Context, batch_of, returned, sqs_record
from resilient_runtime.application import build
from resilient_runtime.lifecycle import NoCaretaker, NoGuard, kept_ms


class Watching(NoCaretaker, NoGuard):
    """Notes what it is asked, and fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[str] = []
        self.fails = fails

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if what == self.fails:
            raise RuntimeError(f"no {what}")

    def begin(self, event: Any, context: Any) -> None:
        """Before anything is done."""
        self._note("begin")

    def end(self, remaining_ms: Any) -> None:
        """After everything."""
        self._note("end")

    def arm(self, remaining: Any) -> None:
        """Before the handler."""
        self._note("arm")

    def disarm(self) -> None:
        """After it."""
        self._note("disarm")

    def enter(self) -> None:
        """Into the user's code."""
        self._note("enter")

    def leave(self) -> None:
        """Out of it."""
        self._note("leave")

    def answer(self) -> dict[str, Any]:
        """To a health check."""
        self._note("answer")
        return {"resilient_health_check": True, "status": "healthy"}

    def facts(self) -> dict[str, Any]:
        """For a failure."""
        self._note("facts")
        return {"invocation": 1}


@pytest.mark.parametrize("mode", ["event", "messages"])
@pytest.mark.parametrize("fails", [False, True])
def test_every_invocation_is_surrounded_in_order(mode: str, fails: bool) -> None:
    """Health, then the deadline, then the user's code; and out again, whether it failed or not."""
    watching = Watching()

    def handle(first: Any, second: Any) -> None:
        watching.asked.append("handler")
        if fails:
            raise ValueError("failed")

    app = App(handle, mode=mode, caretaker=watching, guard=watching)
    if fails and mode == "event":
        with pytest.raises(ValueError, match="failed"):
            app({})
    else:
        app(batch_of(sqs_record()))
    asked = [one for one in watching.asked if one != "facts"]
    assert asked == ["begin", "arm", "enter", "handler", "leave", "disarm", "end"]


@pytest.mark.parametrize("mode", ["event", "messages"])
@pytest.mark.parametrize("broken", ["begin", "arm", "disarm", "end", "facts"])
def test_an_error_of_our_own_fails_no_invocation(mode: str, broken: str) -> None:
    """The handler's value and exception are as ever; what broke is told once, and asked again next time."""
    watching = Watching(broken)

    def handle(event: Any, second: Any) -> Any:
        if mode == "event":
            return 1 / event["n"]
        return None if event["n"] else 1 / 0

    app = App(handle, mode=mode, caretaker=watching, guard=watching)
    for n in (1, 0, 1):
        if mode == "messages":
            assert returned(app(batch_of(sqs_record({"n": n})))) == ([] if n else ["m-1"])
        elif n:
            assert app({"n": n}) == 1
        else:
            with pytest.raises(ZeroDivisionError) as raised:
                app({"n": n})
            assert raised.value.__context__ is None
    told = [record for record in app.records if record["status"] == "BROKEN"]
    assert [record["error"] for record in told] == (
        [f"RuntimeError: no {broken}"] if broken != "facts" else []
    )
    assert watching.asked.count(broken) == (1 if broken == "facts" else 3)
    done, failed = ["STARTED", "COMPLETED"], ["STARTED", "FAILED"]
    assert [one for one in app.statuses() if one != "BROKEN"] == [*done, *failed, *done]


def test_a_health_check_is_answered_without_the_handler() -> None:
    """It is no invocation of the user's: nothing is begun, counted or called."""
    watching = Watching()
    app = App(lambda event, context: pytest.fail("called"), mode="event", caretaker=watching)
    assert app({"resilient_health_check": True}) == {"resilient_health_check": True, "status": "healthy"}
    assert (watching.asked, app.lines) == (["answer"], [])


@pytest.mark.parametrize(
    "event",
    [
        {"resilient_health_check": True, "order": 1},
        {"resilient_health_check": 1},
        {"resilient_health_check": False},
    ],
)
def test_only_the_exact_event_is_a_health_check(event: dict[str, Any]) -> None:
    """A user's own event with such a member is the user's."""
    assert App(lambda event, context: event, mode="event")(event) is event


def test_a_health_check_that_fails_is_answered_still() -> None:
    """That the function starts is what was asked first of all."""
    app = App(lambda event, context: None, mode="event", caretaker=Watching("answer"))
    assert app({"resilient_health_check": True}) == {"resilient_health_check": True, "error": "RuntimeError"}
    assert app.statuses() == ["BROKEN"]


def test_an_environment_that_must_end_ends_before_anything_is_done() -> None:
    """What the caretaker decides at the beginning is no error of ours to swallow."""

    class Leaving(NoCaretaker):
        def begin(self, event: Any, context: Any) -> None:
            raise SystemExit(1)

    app = App(lambda event, context: pytest.fail("called"), mode="event", caretaker=Leaving())
    with pytest.raises(SystemExit):
        app({})
    assert app.lines == []


@pytest.mark.parametrize(("margin", "kept"), [(0.0, 500), (0.2, 270), (1.0, 1150)])
def test_a_downstream_call_times_out_before_the_guard_fires(margin: float, kept: int) -> None:
    """What is kept back of the invocation is the guard's margin and a little more."""
    assert kept_ms(margin) == kept > margin * 1000 or margin == 0


def test_the_deadline_is_part_of_every_handler() -> None:
    """With the settings alone, a handler that sleeps too long is told and interrupted."""
    app = App(slow, mode="event")
    app.handler = build(
        {"RESILIENT_HANDLER": "handler_under_test.handle", "RESILIENT_DEADLINE_MARGIN": "0.2"},
        emit=app.lines.append,
        caretaker=NoCaretaker(),
    )
    context = Context(250)
    with pytest.raises(Exception, match="interrupted after") as raised:
        app({}, context)
    assert type(raised.value).__name__ == "InvocationTimedOut"
    assert app.statuses() == ["STARTED", "DEADLINE", "FAILED"]
    deadline = app.records[1]
    assert deadline["DeadlineExceeded"] == 1
    assert deadline["correlation_id"] == Context.aws_request_id
    assert "in slow" in str(deadline["doing"])
    assert "in slow" in deadline["stacks"]


def slow(event: Any, context: Any) -> None:
    """Take longer than there is."""
    time.sleep(5)
