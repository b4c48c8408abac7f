from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import NOON
from resilient_runtime import Call, Reject
from resilient_runtime.clock import Clock
from resilient_runtime.deadline import Firing
from resilient_runtime.status import StatusLines, describe, text_of

# The parts of the embedded metric format's schema that AWS publishes with its specification:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count", "Milliseconds"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
LINES = StatusLines(service="delivery", function_name="Delivery-1", clock=Clock(wall=lambda: NOON))
CALL = Call(correlation_id="c-1", message_id="m-1", request_id="r-1", attempt=2)
ERROR = ValueError("down")
EVERY: dict[str, Callable[[], str]] = {
    "STARTED": lambda: LINES.started(CALL),
    "COMPLETED": lambda: LINES.completed(CALL, 1.5),
    "FAILED": lambda: LINES.failed(CALL, 1.5, ERROR, {}),
    "REJECTED": lambda: LINES.rejected(CALL, 1.5, reason="no", error="E: e", labelled=True),
    "CALLED": lambda: LINES.called(CALL, "Courier", 1.5, None),
    "DEADLINE": lambda: LINES.deadline(CALL, Firing(1, "at x:1", "stacks", 2.0, 0.5, None)),
}


def strict(line: str) -> dict[str, Any]:
    """Parse JSON as CloudWatch does: NaN is none, and a member twice is a fault."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert "\n" not in line
    return dict(json.loads(line, parse_constant=refuse, object_pairs_hook=once))


@pytest.mark.parametrize("status", EVERY)
def test_every_counted_record_is_a_valid_metric_document(status: str) -> None:
    """The line fits AWS's schema, and every dimension and metric it names is there with the right type."""
    record = strict(EVERY[status]())
    jsonschema.validate(record, EMF)
    for directive in record["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == "ResilientConstructs"
        for dimension in (name for one in directive["Dimensions"] for name in one):
            assert isinstance(record[dimension], str)
            assert record[dimension]
        for metric in directive["Metrics"]:
            assert isinstance(record[metric["Name"]], (int, float))
    assert record["status"] == status
    assert record["_aws"]["Timestamp"] == 1_800_000_000_250
    assert record["timestamp"] == "2027-01-15T08:00:00.250Z"


@pytest.mark.parametrize(
    ("status", "metrics"),
    [
        ("STARTED", {"Started": 1, "Completed": 0, "Failed": 0, "Rejected": 0}),
        ("COMPLETED", {"Completed": 1, "Duration": 1500.0}),
        ("FAILED", {"Failed": 1, "Duration": 1500.0}),
        ("REJECTED", {"Rejected": 1, "Duration": 1500.0}),
        ("CALLED", {"DownstreamFailed": 0, "DownstreamDuration": 1500.0}),
        ("DEADLINE", {"DeadlineExceeded": 1}),
    ],
)
def test_each_status_counts_its_own_metric(status: str, metrics: dict[str, float]) -> None:
    """STARTED minus COMPLETED, FAILED and REJECTED is what vanished."""
    record = strict(EVERY[status]())
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"]: record[metric["Name"]] for metric in directive["Metrics"]} == metrics


@pytest.mark.parametrize("status", EVERY)
def test_a_record_says_whose_it_is(status: str) -> None:
    """Each record has what the story of one correlation id is told with, and no level to be filtered by."""
    record = strict(EVERY[status]())
    assert record["service"] == "delivery"
    assert record["function_name"] == record["FunctionName"] == "Delivery-1"
    assert (record["correlation_id"], record["message_id"]) == ("c-1", "m-1")
    assert (record["request_id"], record["attempt"]) == ("r-1", 2)
    assert "level" not in record


def test_in_event_mode_there_is_no_message_and_no_attempt() -> None:
    """What is not known is left out, not made up."""
    record = strict(LINES.started(Call(correlation_id="c", request_id="r")))
    assert not {"message_id", "attempt"} & set(record)


@given(text=st.text(st.characters()), seconds=st.floats(0, 900))
def test_every_record_can_be_parsed(text: str, seconds: float) -> None:
    """Quotes, control characters, surrogates and newlines in any field still make one line of JSON."""
    lines = StatusLines(service=text, function_name=text or "f")
    call = Call(correlation_id=text, message_id=text, request_id=text)
    error = ValueError(text)
    for line in (
        lines.started(call),
        lines.completed(call, seconds),
        lines.failed(call, seconds, error, {text: text}, reason=text, remedy=text),
        lines.rejected(call, seconds, reason=text, error=text, labelled=False),
        lines.held(call, text, text),
        lines.deadline(call, Firing(1, text, text, seconds, 0.5, text)),
        lines.deadline(None, Firing(2, text, text, seconds, 0.5, None)),
        lines.unguarded(text),
        lines.broken(text, error),
        lines.called(call, text, seconds, error),
    ):
        record = strict(line)
        assert record["service"] == text


class UnprintableError(Exception):
    """An exception that breaks whoever looks at it."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_what_cannot_be_printed_is_named() -> None:
    """A reason or an error whose text raises is told by its type."""
    assert text_of(UnprintableError()) == "<UnprintableError that cannot be printed>"
    assert strict(LINES.failed(CALL, 0, UnprintableError(), {}))["error"].startswith("UnprintableError: <")


@pytest.mark.parametrize("value", [{"a": {1, 2}}, b"bytes", 3, None, object])
def test_a_reason_of_any_type_is_told(value: object) -> None:
    """A reason that is no string becomes its text."""
    assert strict(LINES.rejected(CALL, 0, reason=text_of(value), error=None, labelled=True))["reason"]


def test_long_errors_are_cut_short() -> None:
    """A megabyte of error text makes a record of a few kilobytes that says how long the text was."""
    line = LINES.failed(CALL, 0, ValueError("x" * 1_000_000), {})
    assert len(line) < 20_000
    assert strict(line)["error"].endswith("… (1,000,000 characters)")


def test_the_end_of_a_deep_stack_is_kept() -> None:
    """Of a stack that is too long, what is nearest to the error stays."""

    def down(depth: int) -> None:
        if not depth:
            raise ValueError("at the bottom")
        if depth % 2:
            down(depth - 1)
        else:
            (lambda: down(depth - 1))()

    try:
        down(300)
    except ValueError as error:
        record = strict(LINES.failed(CALL, 0, error, {}))
    assert len(record["stack"]) <= 8193
    assert record["stack"].endswith("ValueError: at the bottom\n")


def test_the_timestamp_follows_the_clock() -> None:
    """The cached second is renewed when it has passed."""
    now = [0.999]
    lines = StatusLines(service="s", function_name="f", clock=Clock(wall=lambda: now[0]))
    assert lines.timestamp() == "1970-01-01T00:00:00.999Z"
    now[0] = 61.5
    assert lines.timestamp() == "1970-01-01T00:01:01.500Z"


@pytest.mark.parametrize(
    ("error", "outcome", "failed"),
    [(None, "succeeded", 0), (TimeoutError("slow"), "failed", 1), (Reject("no"), "rejected", 0)],
)
def test_a_downstream_that_says_no_has_not_failed(error: Exception | None, outcome: str, failed: int) -> None:
    """A rejection is an answer; only other exceptions count against the downstream."""
    record = strict(LINES.called(CALL, "Courier", 0.25, error))
    assert (record["outcome"], record["DownstreamFailed"], record["DownstreamDuration"]) == (
        outcome,
        failed,
        250,
    )
    assert record["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["FunctionName", "Downstream"]]
    assert ("error" in record) == (error is not None)


def test_an_error_without_a_message_is_its_name() -> None:
    """No dangling colon."""
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"
