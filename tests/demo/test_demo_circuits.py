"""What became of a circuit, read from a controller's log and its mappings."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.breaker.circuit import CircuitState
from resilient_runtime.controller.settings import ControllerSettings, FeedSettings

from resilient_constructs.demo.circuits import (
    Change,
    Guard,
    Passing,
    Sighting,
    changes,
    circuit_spans,
    feeding,
    feeding_spans,
    guard_of,
)

GUARD = Guard(function="controller", log_group="log", mappings=("one", "two"))


class Logs:
    """CloudWatch Logs with these lines, in pages of two."""

    def __init__(self, *lines: str) -> None:
        self._events = [{"message": line} for line in lines]

    def get_paginator(self, _: str) -> Logs:
        """Itself."""
        return self

    def paginate(self, logGroupName: str) -> Any:  # noqa: N803  boto3's name
        """Page by page."""
        assert logGroupName == "log"
        return [{"events": self._events[first : first + 2]} for first in range(0, len(self._events), 2)]


class Mappings:
    """Lambda with these mappings."""

    def __init__(self, **mappings: Any) -> None:
        self._mappings = mappings

    def get_event_source_mapping(self, UUID: str) -> Any:  # noqa: N803  boto3's name
        """The mapping."""
        return self._mappings[UUID]


def line(version: int, after: str, **more: Any) -> str:
    """What the controller logs."""
    record = {"_aws": {"Timestamp": version * 1000}, "status": "CIRCUIT", "Downstream": "Courier"}
    return json.dumps(record | {"state": after, "version": version, "reason": "why"} | more)


def test_a_controller_is_told_by_what_it_is_told() -> None:
    """A function that has mappings to look after is a controller; a consumer's function is none."""
    settings = ControllerSettings("circuits", "https://queue", (FeedSettings("m1", ("Courier",), "5"),))
    found = {"FunctionName": "f", "Environment": {"Variables": settings.to_env()}}
    assert guard_of(found, log_group="log") == Guard(function="f", log_group="log", mappings=("m1",))
    assert guard_of({"FunctionName": "f"}, log_group="log") is None


def test_changes_are_told_once_and_in_order() -> None:
    """A change that was told twice is one; the states that the reconciler tells are no changes."""
    logs = Logs(
        "START RequestId: 1",
        line(2, "HALF_OPEN", before="OPEN"),
        line(1, "OPEN", before="CLOSED"),
        line(2, "HALF_OPEN", before="OPEN"),
        line(2, "HALF_OPEN"),
    )
    found = changes(lambda _: logs, GUARD)
    assert [(one.at, one.before, one.after) for one in found] == [
        (1.0, "CLOSED", "OPEN"),
        (2.0, "OPEN", "HALF_OPEN"),
    ]


@pytest.mark.parametrize(
    ("other", "concurrency"),
    [
        ({"State": "Enabled", "ScalingConfig": {"MaximumConcurrency": 2}}, 2),
        ({"State": "Disabled", "ScalingConfig": {"MaximumConcurrency": 2}}, 0),
        ({"State": "Enabling", "ScalingConfig": {"MaximumConcurrency": 2}}, 0),
        ({"State": "Enabled"}, 1),
    ],
)
def test_of_several_mappings_the_least_fed_is_told(other: dict[str, Any], concurrency: int) -> None:
    """What is not enabled is paused; a stream's mapping, which has no concurrency, counts as one."""
    one = {"State": "Enabled", "ScalingConfig": {"MaximumConcurrency": 5}}
    client = Mappings(one=one, two=other)
    assert feeding(lambda _: client, GUARD, now=7.0) == Sighting(at=7.0, concurrency=concurrency)


@given(st.lists(st.sampled_from(list(CircuitState)), max_size=8))
def test_the_states_fill_the_run(states: list[CircuitState]) -> None:
    """From the beginning to the end, each stretch at the last one's end, no two of one name in a row."""
    told = [
        Change(at=10.0 + n, downstream="Courier", before=before, after=after, version=n, reason="")
        for n, (before, after) in enumerate(zip([CircuitState.CLOSED, *states], states, strict=False))
    ]
    spans = circuit_spans(told, begin=0, end=100)
    assert (spans[0].begin, spans[-1].end) == (0, 100)
    for one, other in pairwise(spans):
        assert one.end == other.begin
        assert one.name != other.name


def test_the_most_that_was_seen_is_everything() -> None:
    """Less than the most is a trickle, and none is nothing; who was never seen has no stretches."""
    seen = [Sighting(at=float(n), concurrency=c) for n, c in enumerate([5, 5, 0, 2, 5])]
    assert [(one.name, one.passing) for one in feeding_spans(seen, end=9)] == [
        ("5 at a time", Passing.ALL),
        ("paused", Passing.NOTHING),
        ("2 at a time", Passing.TRICKLE),
        ("5 at a time", Passing.ALL),
    ]
    assert feeding_spans([], end=9) == []
