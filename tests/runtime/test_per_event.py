from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lambda_events import App, Context, bridge_event
from resilient_runtime import Call, current_call
from resilient_runtime.interruption import DeadlineExceeded, InvocationTimedOut

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.one_of(
    JSON,
    JSON.map(bridge_event),
    JSON.map(
        lambda body: {"body": json.dumps(body), "headers": {"X-Correlation-Id": "c"}, "requestContext": {}}
    ),
    JSON.map(
        lambda data: {"Records": [{"kinesis": {"data": json.dumps(data)}, "eventSource": "aws:kinesis"}]}
    ),
    JSON.map(
        lambda body: {"Records": [{"messageId": "m", "body": json.dumps(body), "eventSource": "aws:sqs"}]}
    ),
)


class OwnError(Exception):
    """A user's exception with state of its own."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.state = [text]


class UnprintableError(OwnError):
    """An exception that breaks whoever looks at it."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class OwnExit(BaseException):
    """What is no Exception."""


KINDS: list[Callable[[str], BaseException]] = [
    ValueError,
    KeyError,
    OwnError,
    UnprintableError,
    TimeoutError,
    OwnExit,
    SystemExit,
    KeyboardInterrupt,
    RecursionError,
    StopIteration,
    lambda text: ExceptionGroup(text, [ValueError(text), OwnError(text)]),
    lambda text: UnicodeDecodeError("utf-8", b"\xff", 0, 1, text),
]
RAISED = st.builds(
    lambda make, text, chain, notes: (make, text, chain, notes),
    st.sampled_from(KINDS),
    st.text(max_size=30),
    st.sampled_from(["alone", "cause", "context", "suppressed"]),
    st.lists(st.text(max_size=10), max_size=2),
)


def fail_first() -> NoReturn:
    """What the generated exception follows."""
    raise OwnError("before")


def raise_it(make: Callable[[str], BaseException], text: str, chain: str, notes: list[str]) -> NoReturn:
    """Raise what was generated, as a user's code does."""
    error = make(text)
    for note in notes:
        error.add_note(note)
    if chain == "alone":
        raise error
    try:
        fail_first()
    except OwnError as before:
        if chain == "context":
            raise error  # noqa: B904  as users do
        raise error from (before if chain == "cause" else None)


def story_of(error: BaseException | None) -> Any:
    """All that is known of an exception, without the frames above the handler's own."""
    if error is None:
        return None
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    own = [name for name, _ in frames].index("handle_it") if "handle_it" in dict(frames) else len(frames)
    return (
        type(error),
        [type(one) for one in error.args],
        {name: value for name, value in vars(error).items() if name != "__notes__"},
        getattr(error, "__notes__", None),
        frames[own:],
        story_of(error.__cause__),
        story_of(error.__context__),
        error.__suppress_context__,
    )


def outcome(
    handler: Callable[[Any, Any], Any], event: Any, context: Any
) -> tuple[Any, Any, BaseException | None]:
    """What a call gives: a value, or an exception and its story."""
    try:
        return handler(event, context), None, None
    except BaseException as error:  # noqa: BLE001
        return None, story_of(error), error


@settings(max_examples=1000)
@given(EVENTS, JSON, st.none() | RAISED)
def test_wrapped_and_unwrapped_a_handler_does_the_same(event: Any, answer: Any, raised: Any) -> None:
    """It gets the very event and context; the very object that it returns or raises goes on, unchanged."""
    seen: list[tuple[Any, Any]] = []
    errors: list[BaseException] = []

    def handle_it(event: Any, context: Any) -> Any:
        seen.append((event, context))
        if raised is None:
            return answer
        try:
            raise_it(*raised)
        except BaseException as error:
            errors.append(error)
            raise

    context = Context()
    before = copy.deepcopy(event)
    app = App(handle_it, mode="event")
    wrapped, wrapped_story, wrapped_error = outcome(app, event, context)
    plain, plain_story, _ = outcome(handle_it, event, context)
    assert wrapped is plain
    assert wrapped_story == plain_story
    assert all(one is event and two is context for one, two in seen)
    if raised is not None:
        assert wrapped_error is errors[0]
    assert event == before
    assert app.statuses() == ["STARTED", "COMPLETED" if raised is None else "FAILED"]


def test_the_failed_record_says_what_went_on() -> None:
    """The event without its secrets, the user's own frames, the downstream call, and the environment."""

    class Facts:
        def begin(self, event: Any, context: Any) -> None: ...

        def end(self, remaining_ms: Any) -> None: ...

        def facts(self) -> dict[str, Any]:
            return {"container_age_s": 12.5, "invocation": 3, "health": {"descriptors": "7 of 1,024"}}

        def answer(self) -> dict[str, Any]:
            return {}

    def charge() -> None:
        raise ConnectionError("https://pay.example/?token=abc refused")

    def handle(event: Any, context: Any) -> None:
        call = current_call()
        assert call is not None
        with call.downstream("Courier", timeout=2):
            charge()

    app = App(
        handle,
        mode="event",
        caretaker=Facts(),
        RESILIENT_DOWNSTREAMS='[{"name":"Courier"}]',
        RESILIENT_REDACTION='{"keys":["customer"]}',
    )
    with pytest.raises(ConnectionError):
        app({"order": 1, "Customer": "Jo", "password": "hunter2"})
    called, failed = app.records[1:]
    assert failed["event"] == {"order": 1, "Customer": "[hidden]", "password": "[hidden]"}
    assert (
        failed["error"] == called["error"] == "ConnectionError: https://pay.example/?token=[hidden] refused"
    )
    assert "token=abc refused\n" not in failed["stack"]
    charged, handled = failed["doing"]["at"]
    assert charged.endswith("in charge")
    assert handled.startswith("test_per_event.py:") or handled.endswith("in handle")
    assert (failed["doing"]["downstream"], failed["doing"]["downstream_call"]) == ("Courier", "failed")
    assert failed["doing"]["downstream_ms"] == pytest.approx(100)
    assert (failed["container_age_s"], failed["invocation"]) == (12.5, 3)
    assert failed["health"] == {"descriptors": "7 of 1,024"}


class HostileEvent(dict[str, Any]):
    """An event that nobody can look into."""

    def __iter__(self) -> NoReturn:
        raise RuntimeError("no")

    __contains__ = __getitem__ = get = items = __len__ = __iter__  # type: ignore[assignment]


def test_an_event_that_cannot_be_searched_is_the_handlers() -> None:
    """Its ids are the request's, and the handler runs."""
    app = App(lambda event, context: event, mode="event")
    event = HostileEvent(a=1)
    assert app(event) is event
    assert app.records[0]["correlation_id"] == Context.aws_request_id


@pytest.mark.parametrize("context", [None, object(), 7])
def test_any_context_will_do(context: object) -> None:
    """A test's context may be anything; it is handed on as it is."""
    seen: list[Any] = []
    App(lambda event, context: seen.append(context), mode="event").handler({}, context)
    assert seen == [context]


class ClientContext:
    """As the platform's own runtime has it."""

    def __init__(self, custom: object) -> None:
        self.custom = custom


@pytest.mark.parametrize(
    ("custom", "key"),
    [
        ({"idempotency_key": "order-7"}, "order-7"),
        ({"idempotency_key": "order 7\n"}, Context.aws_request_id),
        ({"idempotency_key": 7}, Context.aws_request_id),
        ({}, Context.aws_request_id),
        (None, Context.aws_request_id),
    ],
)
def test_the_key_of_a_workflow_is_the_calls(custom: object, key: str) -> None:
    """However often the workflow calls for this work; a key that no header takes is passed over."""
    context = Context()
    context.client_context = ClientContext(custom)  # type: ignore[attr-defined]
    seen: list[Call | None] = []
    App(lambda event, context: seen.append(current_call()), mode="event")({}, context)
    assert [call.idempotency_key for call in seen if call] == [key]


def test_a_log_that_is_full_changes_nothing() -> None:
    """Whichever record cannot be written, the handler's value and its exception go on."""
    for broken in ({1}, {2}, {1, 2}):
        app = App(lambda event, context: 1 / event, mode="event")
        app.broken_lines = broken
        assert app(2) == 0.5
        app = App(lambda event, context: 1 / event, mode="event")
        app.broken_lines = broken
        with pytest.raises(ZeroDivisionError):
            app(0)


@pytest.mark.parametrize("group", [False, True])
def test_the_deadline_leaves_as_an_ordinary_exception(group: bool) -> None:
    """A BaseException would end the environment; Lambda gets one that it only reports."""
    interruption: BaseException = DeadlineExceeded("interrupted at shop.py:7")
    if group:
        interruption = BaseExceptionGroup("tasks", [interruption])

    def handle(event: Any, context: Any) -> None:
        raise interruption

    app = App(handle, mode="event")
    with pytest.raises(InvocationTimedOut, match="interrupted at shop") as raised:
        app({"id": 1})
    assert raised.value.__cause__ is interruption
    assert app.statuses() == ["STARTED", "FAILED"]
    assert current_call() is None


def interrupt() -> NoReturn:
    """The deadline, wherever the handler is."""
    raise DeadlineExceeded("now")


def test_a_handler_may_finish_what_the_deadline_interrupted() -> None:
    """One that catches it and returns has returned."""

    def handle(event: Any, context: Any) -> str:
        try:
            interrupt()
        except DeadlineExceeded:
            return "as far as I came"

    assert App(handle, mode="event")({}) == "as far as I came"
