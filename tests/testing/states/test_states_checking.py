"""Definitions that AWS would refuse, or that would fail as they run."""

from __future__ import annotations

from typing import Any

import pytest
from state_machines import machine, task

from resilient_constructs.testing.states import StateMachine, faults_of

END = {"Type": "Succeed"}


def definition_of(**states: dict[str, Any]) -> dict[str, Any]:
    """A definition with these states."""
    return {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"A": {"Type": "Task", "End": True}}, "no Resource"),
        ({"A": task(InputPath="$")}, "InputPath"),
        ({"A": task(ResultPath="$.a")}, "ResultPath"),
        ({"A": {"Type": "Pass", "QueryLanguage": "JSONPath", "End": True}}, "JSONPath"),
        ({"A": {"Type": "Jump", "End": True}}, "'Jump'"),
        ({"A": {"Type": "Pass"}}, "either Next or End"),
        ({"A": {"Type": "Pass", "Next": "B"}}, "'B', which is no state"),
        ({"A": {"Type": "Pass", "End": True}, "B": END}, "B cannot be reached"),
        ({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}, "A never comes to an end"),
        ({"A": {"Type": "Wait", "End": True}}, "either Seconds or Timestamp"),
        ({"A": {"Type": "Choice", "Choices": [{"Next": "B"}]}, "B": END}, "without Condition"),
        ({"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "B"}]}, "B": END}, "Variable"),
        ({"A": {"Type": "Pass", "Output": " {% 1 %}", "End": True}}, "does not begin"),
        ({"A": {"Type": "Pass", "Output": "{% 1 + %}", "End": True}}, "no JSONata"),
        ({"A": {"Type": "Pass", "Output": "{% $eval('1') %}", "End": True}}, "$eval"),
        ({"A": {"Type": "Pass", "Output": "{% $states.result %}", "End": True}}, "$states.result"),
        ({"A": task(Arguments="{% $states.result %}")}, "$states.result"),
        ({"A": task(Output="{% $states.errorOutput %}")}, "$states.errorOutput"),
        ({"A": task(Resource="{% 'arn' %}")}, "constant"),
        ({"A": {"Type": "Pass", "Assign": {"states": 1}, "End": True}}, "reserved"),
        ({"A": task(Retry=[{"ErrorEquals": ["States.ALL", "X"]}])}, "not alone and last"),
        ({"A": task(Retry=[{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}])}, "not alone and last"),
        ({"A": task(Retry=[{"ErrorEquals": []}])}, "without ErrorEquals"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "IntervalSeconds": 0}])}, "retries after 0"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "MaxAttempts": -1}])}, "retries -1 times"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "BackoffRate": 0.5}])}, "BackoffRate"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "IntervalSeconds": 5, "MaxDelaySeconds": 5}])}, "MaxDelay"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "MaxDelaySeconds": 31_622_400}])}, "MaxDelay"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "JitterStrategy": "SOME"}])}, "JitterStrategy"),
        ({"A": task(Retry=[{"ErrorEquals": ["X"], "ResultPath": "$"}])}, "ResultPath"),
        ({"A": task(Catch=[{"ErrorEquals": ["X"]}])}, "Catch without Next"),
        ({"A" * 81: END}, "81 characters"),
        ({"A": {"Type": "Succeed", "Output": "x" * 1_100_000}}, "1,048,576"),
        (
            {
                "A": {
                    "Type": "Map",
                    "End": True,
                    "ItemReader": {},
                    "ItemProcessor": {"StartAt": "B", "States": {"B": END}},
                }
            },
            "inline Map and has ItemReader",
        ),
        (
            {"A": {"Type": "Map", "End": True, "ItemProcessor": {"StartAt": "A", "States": {"A": END}}}},
            "A is the name of 2 states",
        ),
        (
            {"A": {"Type": "Parallel", "End": True, "Branches": [{"StartAt": "C", "States": {}}]}},
            "A/StartAt is 'C'",
        ),
    ],
)
def test_a_fault_is_found(states: dict[str, Any], words: str) -> None:
    """Each is told in a sentence that names the state."""
    found = faults_of(definition_of(**states))
    assert any(words in fault for fault in found), found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"QueryLanguage": "JSONPath"}, "QueryLanguage is not JSONata"),
        ({"StartAt": "Z"}, "StartAt is 'Z'"),
        ({"Retry": []}, "Retry is unknown"),
    ],
)
def test_a_fault_of_the_whole_is_found(changes: dict[str, Any], words: str) -> None:
    """The machine's own fields are looked at, too."""
    assert any(words in fault for fault in faults_of({**definition_of(A=END), **changes}))


def a_map(inner: dict[str, Any], mode: str = "INLINE", **more: Any) -> dict[str, Any]:
    """A Map over one state."""
    processor = {"ProcessorConfig": {"Mode": mode}, "StartAt": "Inner", "States": {"Inner": inner}}
    return {"Type": "Map", "ItemProcessor": processor, "End": True, **more}


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
@pytest.mark.parametrize(
    "outer",
    [
        {"Type": "Pass", "Assign": {"at": 1}, "Next": "Each"},
        task(Catch=[{"ErrorEquals": ["X"], "Assign": {"at": 1}, "Next": "Each"}], Next="Each"),
        {
            "Type": "Choice",
            "Choices": [{"Condition": "{% true %}", "Assign": {"at": 1}, "Next": "Each"}],
            "Default": "Each",
        },
    ],
    ids=["state", "catcher", "rule"],
)
def test_no_inner_variable_has_the_name_of_an_outer_one(outer: dict[str, Any], mode: str) -> None:
    """CreateStateMachine refuses it, wherever the outer one is assigned."""
    inner = {"Type": "Pass", "Assign": {"at": 2}, "End": True}
    found = faults_of(definition_of(First=outer, Each=a_map(inner, mode)))
    assert found == ["Each/Inner assigns to at, which First assigns to in an outer scope"]
    other = {"Type": "Pass", "Assign": {"place": 2}, "End": True}
    assert faults_of(definition_of(First=outer, Each=a_map(other, mode))) == []


def test_scopes_beside_each_other_may_have_the_same_names() -> None:
    """Two branches never see each other's variables."""
    branch = {"Type": "Pass", "Assign": {"at": 1}, "End": True}
    branches = [{"StartAt": name, "States": {name: branch}} for name in ("B", "C")]
    assert faults_of(definition_of(A={"Type": "Parallel", "Branches": branches, "End": True})) == []


@pytest.mark.parametrize(("mode", "faults"), [("INLINE", 0), ("DISTRIBUTED", 1)])
def test_a_child_execution_reads_no_outer_variable(mode: str, faults: int) -> None:
    """An inline Map's states may; what an expression binds itself is nobody's variable."""
    first = {"Type": "Pass", "Assign": {"batch": 1}, "Next": "Each"}
    reads = {"Type": "Pass", "Output": "{% $batch.name %}", "End": True}
    found = faults_of(definition_of(First=first, Each=a_map(reads, mode)))
    assert len(found) == faults
    assert all("Each/Inner reads batch of First" in fault for fault in found)
    for text in ("{% ($batch := 1; $batch) %}", "{% $map([1], function($batch) { $batch + 1 }) %}"):
        bound = {"Type": "Pass", "Output": text, "End": True}
        assert faults_of(definition_of(First=first, Each=a_map(bound, mode))) == []


def test_all_faults_are_told_at_once() -> None:
    """A definition that is refused says everything that is wrong with it."""
    with pytest.raises(ValueError, match="3 faults") as refused:
        StateMachine(definition_of(A={"Type": "Wait", "Next": "B"}))
    assert "no state" in str(refused.value)
    assert "Seconds" in str(refused.value)


def test_a_good_definition_has_no_fault() -> None:
    """Every field of every state that is known passes."""
    made = machine(
        First=task(
            Comment="x",
            Arguments={},
            Output={},
            Assign={"a": 1},
            TimeoutSeconds=5,
            HeartbeatSeconds=2,
            Credentials={"RoleArn": "arn"},
            Retry=[{"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL", "MaxDelaySeconds": 9}],
            Catch=[{"ErrorEquals": ["States.ALL"], "Assign": {}, "Output": {}, "Next": "Bad"}],
            Next="Rest",
        ),
        Rest={"Type": "Wait", "Timestamp": "2023-11-14T22:13:30Z", "Next": "Good"},
        Good=END,
        Bad={"Type": "Fail", "Error": "{% 'E' %}", "Cause": "c"},
    )
    assert faults_of(made.definition) == []
