from __future__ import annotations

import io
import json
import logging
from email.message import Message
from typing import Any
from urllib.error import HTTPError

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError
from lambda_events import App, Context, batch_of, sqs_record
from resilient_runtime import Call, SlowDown, UnknownDownstream, add_correlation_id, current_call
from resilient_runtime.lifecycle import NoGuard
from resilient_runtime.settings import DownstreamSettings

COURIER = {"RESILIENT_DOWNSTREAMS": '[{"name":"Courier","requests_per_second":10}]'}


def test_a_handler_can_be_tested_with_a_bare_call() -> None:
    """A unit test needs no Lambda: an empty call knows every downstream and has time."""
    call = Call()
    with call.downstream("Anything", timeout=3) as crossing:
        assert (crossing.name, crossing.timeout) == ("Anything", 3)
    assert call.remaining_ms() == 900_000


@pytest.mark.parametrize(
    ("remaining", "timeout", "expected"),
    [(30_000, 12, 12), (5_500, 12, 5), (5_500, None, 5), (30_000, 0.5, 0.5)],
)
def test_a_downstream_call_never_outlives_the_invocation(
    remaining: int, timeout: float | None, expected: float
) -> None:
    """The timeout is the smaller of what was asked and what is left, less half a second."""
    with Call(remaining=lambda: remaining).downstream("Courier", timeout=timeout) as crossing:
        assert crossing.timeout == expected


@pytest.mark.parametrize("mode", ["event", "messages"])
def test_a_downstream_call_times_out_before_the_handler_is_interrupted(mode: str) -> None:
    """Under the deadline guard, its margin is kept back of the call, and a little more to report in."""

    class OneSecond(NoGuard):
        margin = 1.0

    def handle(first: Any, second: Any) -> None:
        call = current_call()
        assert call is not None
        with call.downstream("Courier") as courier:
            assert courier.timeout == 8.85

    app = App(handle, mode=mode, guard=OneSecond(), **COURIER)
    app(batch_of(sqs_record()), Context(10_000))
    assert app.statuses() == ["STARTED", "CALLED", "COMPLETED"]


def test_a_downstream_call_is_not_begun_too_late() -> None:
    """With less than the margin left, the downstream is spared a call that nobody could wait for."""
    crossing = Call(remaining=lambda: 400).downstream("Courier")
    with pytest.raises(TimeoutError, match="Courier was not called: 400 ms are left"), crossing:
        pytest.fail("the block must not run")


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_above_zero(timeout: float) -> None:
    """A timeout that no call could meet is a mistake and is named as one."""
    with pytest.raises(ValueError, match=r"timeout is .*; allowed: more than 0 seconds"):
        Call().downstream("Courier", timeout=timeout)


def test_an_unknown_downstream_is_named_with_the_known_ones() -> None:
    """A name that the function was not given says which it was."""
    known = {name: DownstreamSettings(name=name) for name in ("Courier", "Bank")}
    with pytest.raises(UnknownDownstream, match=r"'Kurier'.* knows 'Bank', 'Courier'"):
        Call(downstreams=known).downstream("Kurier")
    with pytest.raises(UnknownDownstream, match="knows none"):
        Call(downstreams={}).downstream("Courier")


def test_each_downstream_call_is_one_record() -> None:
    """Duration and outcome of a downstream call are told between STARTED and COMPLETED."""

    def handle(body: Any, call: Call) -> None:
        with call.downstream("Courier", timeout=2):
            pass

    app = App(handle, **COURIER)
    app(batch_of(sqs_record(attributes={"correlation_id": "c-1"})))
    assert app.statuses() == ["STARTED", "CALLED", "COMPLETED"]
    called = app.records[1]
    assert (called["downstream"], called["outcome"], called["correlation_id"]) == (
        "Courier",
        "succeeded",
        "c-1",
    )
    assert called["duration_ms"] == pytest.approx(100)


def test_a_failing_downstream_call_is_told_and_goes_on_to_the_handler() -> None:
    """The exception inside the block is recorded and not swallowed."""

    def handle(body: Any, call: Call) -> None:
        with call.downstream("Courier"):
            raise ConnectionError("refused")

    app = App(handle, **COURIER)
    assert app(batch_of(sqs_record()))["batchItemFailures"]
    assert app.statuses() == ["STARTED", "CALLED", "FAILED"]
    assert app.records[1]["error"] == "ConnectionError: refused"


def test_in_event_mode_a_downstream_is_reached_through_the_current_call() -> None:
    """A plain handler crosses a boundary without being handed a call."""

    def handle(event: Any, context: Any) -> float:
        call = current_call()
        assert call is not None
        with call.downstream("Courier", timeout=60) as courier:
            assert courier.timeout is not None
            return courier.timeout

    app = App(handle, mode="event", **COURIER)
    assert app({}, Context(10_500)) == 10
    assert app.statuses() == ["STARTED", "CALLED", "COMPLETED"]


def test_the_boundary_is_entered_before_the_time_left_is_asked_for() -> None:
    """Whoever waits for a turn spends the call's time, and a refusal keeps the block from running."""
    left = [10_500]

    class Slow:
        def enter(self, call: Call, downstream: DownstreamSettings) -> None:
            left[0] -= 4_000

        def leave(self, call: Call, downstream: DownstreamSettings, seconds: float, error: object) -> None:
            left.append(-1)

    with Call(remaining=lambda: left[0], boundary=Slow()).downstream("Courier") as crossing:
        assert crossing.timeout == 6
    assert left == [6_500, -1]


@pytest.mark.parametrize("powertools", [False, True])
def test_the_users_own_log_lines_carry_the_id(powertools: bool) -> None:
    """The filter puts the correlation id on records of the standard library and of Powertools alike."""
    stream = io.StringIO()
    logger: Any
    if powertools:
        logger = Logger(service="delivery", stream=stream, use_rfc3339=True)
    else:
        logger = logging.getLogger("tests.runtime.call")
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter('{"correlation_id":"%(correlation_id)s"}'))
        logger.addHandler(handler)
    logger.addFilter(add_correlation_id)

    def handle(body: Any, call: Call) -> None:
        logger.warning("packing")

    App(handle)(batch_of(sqs_record(attributes={"correlation_id": "c-5"})))
    assert json.loads(stream.getvalue())["correlation_id"] == "c-5"


@pytest.mark.parametrize(
    "error",
    [
        HTTPError("https://courier.example", 429, "Too Many Requests", Message(), None),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem"),
        SlowDown(),
    ],
    ids=["urllib", "botocore", "ours"],
)
def test_an_answer_429_is_throttled_whichever_client_it_comes_from(error: Exception) -> None:
    """The courier of the examples is called with urllib: asking for fewer calls must not open a circuit."""
    call = Call()
    with pytest.raises(type(error)), call.downstream("Courier") as courier:
        raise error
    assert courier.outcome == "throttled"


def test_a_failure_that_came_of_a_429_is_a_failure() -> None:
    """The courier that was called instead of it is down all the same."""
    call = Call()
    with pytest.raises(ConnectionError), call.downstream("Other") as other:
        raise ConnectionError from SlowDown()
    assert other.outcome == "failed"


def test_an_exception_that_breaks_whoever_looks_at_it_leaves_as_it_is() -> None:
    """The handler's exception goes on, and the call is over for everybody who waits for that."""

    class HostileError(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError

    call = Call()
    with pytest.raises(HostileError), call.downstream("Courier") as courier:
        raise HostileError
    assert courier.outcome == "failed"
