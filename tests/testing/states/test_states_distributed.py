"""Distributed Maps in process: what they tolerate, what they leave, and what they cannot read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resilient_constructs.testing.states import Execution, StateMachine, StatesError, TaskCall

WRITER = {
    "Resource": "arn:aws:states:::s3:putObject",
    "Arguments": {"Bucket": "out", "Prefix": "{% $states.context.Execution.Name %}"},
}


def machine(**more: Any) -> StateMachine:
    """A distributed Map of one task per item."""
    call = {"Type": "Task", "Resource": "arn:call", "End": True}
    state = {
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Call",
            "States": {"Call": call},
        },
        "End": True,
        **more,
    }
    return StateMachine({"QueryLanguage": "JSONata", "StartAt": "Map", "States": {"Map": state}})


def run(objects: dict[tuple[str, str], bytes] | None = None, **more: Any) -> Execution:
    """One execution, whose task fails for odd items."""

    def call(asked: TaskCall) -> Any:
        if asked.arguments["n"] % 2:
            raise StatesError("Odd", "odd")
        return asked.arguments["n"]

    return machine(**more).run({}, {"Call": call}, objects=objects)


def counts_of(execution: Execution) -> dict[str, int]:
    """What DescribeMapRun would tell of its one Map Run."""
    ((_, told),) = execution.map_runs.items()
    return dict(told["ItemCounts"])


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({}, "FAILED"),
        ({"ToleratedFailurePercentage": 50}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 49}, "FAILED"),
        ({"ToleratedFailureCount": 2}, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 100}, "FAILED"),
    ],
)
def test_a_failure_too_many_ends_the_run(limits: dict[str, Any], status: str) -> None:
    """Two of four fail; either limit that is exceeded ends it."""
    execution = run(Items=[{"n": n} for n in range(4)], **limits)
    assert execution.status == status
    if status == "FAILED":
        assert execution.error == "States.ExceedToleratedFailureThreshold"
    else:
        assert execution.output == [0, None, 2, None]
        assert (counts_of(execution)["Succeeded"], counts_of(execution)["Failed"]) == (2, 2)


def test_what_had_not_begun_is_pending_when_a_run_ends_early() -> None:
    """One at a time: the second fails, and the other two never begin."""
    execution = run(Items=[{"n": n} for n in range(4)], MaxConcurrency=1)
    counts = counts_of(execution)
    assert (counts["Succeeded"], counts["Failed"], counts["Pending"], counts["Total"]) == (1, 1, 2, 4)


def test_results_are_written_by_outcome() -> None:
    """The manifest names a file of what succeeded and one of what failed; each tells of executions."""
    objects: dict[tuple[str, str], bytes] = {}
    objects["in", "items"] = b'{"n":2}\n{"n":3}\n'
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSONL"},
        "Arguments": {"Bucket": "in", "Key": "items"},
    }
    execution = run(objects, ItemReader=reader, ResultWriter=WRITER, ToleratedFailurePercentage=100)
    where = execution.output["ResultWriterDetails"]
    files = json.loads(objects[where["Bucket"], where["Key"]])["ResultFiles"]
    (done,), (failed,) = files["SUCCEEDED"], files["FAILED"]
    assert [one["Output"] for one in json.loads(objects["out", done["Key"]])] == ["2"]
    assert [one["Error"] for one in json.loads(objects["out", failed["Key"]])] == ["Odd"]
    assert files["PENDING"] == []


@pytest.mark.parametrize("content", [None, b"{}", b"no JSON"], ids=["no object", "no array", "no JSON"])
def test_items_that_cannot_be_read_fail_the_map(content: bytes | None) -> None:
    """With the error that AWS has for it."""
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Arguments": {"Bucket": "in", "Key": "items"},
    }
    objects = {} if content is None else {("in", "items"): content}
    assert run(objects, ItemReader=reader).error == "States.ItemReaderFailed"


def test_a_child_sees_no_variable_of_its_parents() -> None:
    """As on AWS, where it is an execution of its own, with a name and an input of its own."""
    told: dict[str, Any] = {
        "Type": "Pass",
        "Output": {
            "me": "{% $states.context.Execution.Id %}",
            "input": "{% $states.context.Execution.Input %}",
        },
        "End": True,
    }
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Told",
        "States": {"Told": told},
    }
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Set",
        "States": {
            "Set": {"Type": "Pass", "Assign": {"secret": 1}, "Next": "Map"},
            "Map": {"Type": "Map", "Items": ["a"], "ItemProcessor": processor, "Label": "L", "End": True},
        },
    }
    (child,) = StateMachine(definition).run({}, {}).output
    assert child["input"] == "a"
    assert ":execution:Machine/L:" in child["me"]
    told["Output"]["knows"] = "{% $exists($secret) %}"
    with pytest.raises(ValueError, match="Map/Told reads secret of Set, which a child"):
        StateMachine(definition)
