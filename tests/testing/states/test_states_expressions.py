"""JSONata in a state machine."""

from __future__ import annotations

from typing import Any

import pytest
from state_machines import NOW, machine, started, value_of

QUERY = "States.QueryEvaluationError"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$states.input.a", 1),
        ("$states.input.none", None),
        ("$states.input.list", [1]),
        ("{'a': $states.input.none, 'b': $states.input.missing}", {"a": None}),
        ("$partition([1, 2, 3, 4, 5], 2)", [[1, 2], [3, 4], [5]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$hash('a', 'SHA-256')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("$parse('{\"a\": [null, 1.0]}')", {"a": [None, 1]}),
        ("$random()", 0.25),
        ("$random(7) = $random(7)", True),
        ("$millis()", 1_700_000_000_000),
        ("$now()", "2023-11-14T22:13:20.000Z"),
        ("$length($uuid())", 36),
        ("$substring($uuid(), 14, 1)", "4"),
        ("$toMillis($states.context.Execution.StartTime)", 1_700_000_000_000),
        ("$states.context.State.Name", "Say"),
        ("6 / 3", 2),
        ("1 / 4", 0.25),
    ],
)
def test_expressions_come_to(expression: str, value: Any) -> None:
    """Numbers, nulls and lists stay what they are; what Step Functions adds is there."""
    data = {"a": 1, "none": None, "list": [1]}
    assert value_of(expression, data, random=lambda: 0.25) == value


@pytest.mark.parametrize(
    "expression",
    [
        "$states.input.missing",
        "$unassigned",
        "'a' + 1",
        "$error('no')",
        "function($x) { $x }",
        "1 / 0",
        "$parse('{')",
        "$partition([1], 0)",
        "$range(1, 2, 0)",
        "$hash('a', 'SHA-3')",
    ],
)
def test_what_comes_to_nothing_fails(expression: str) -> None:
    """Undefined, a wrong type, a function, an infinite number: each is States.QueryEvaluationError."""
    assert value_of(expression, {}) == QUERY


def test_templates_are_evaluated_at_any_depth() -> None:
    """A string in {% %} is an expression wherever it stands, any other is itself."""
    template = {"a": ["{% $states.input %}", "$states.input", {"b": "{% 1 + 1 %}"}], "c": True}
    made = machine(Say={"Type": "Pass", "Output": template, "End": True})
    assert started(made, 7).output == {"a": [7, "$states.input", {"b": 2}], "c": True}


def test_assign_sees_what_was_known_on_entry() -> None:
    """All values of an Assign, and the Output beside it, use the variables as they were."""
    made = machine(
        First={"Type": "Pass", "Assign": {"x": 3, "a": 6}, "Next": "Second"},
        Second={
            "Type": "Pass",
            "Assign": {"x": "{% $a %}", "next": "{% $x %}"},
            "Output": "{% $x %}",
            "Next": "Third",
        },
        Third={
            "Type": "Succeed",
            "Output": {"x": "{% $x %}", "next": "{% $next %}", "in": "{% $states.input %}"},
        },
    )
    assert started(made).output == {"x": 6, "next": 3, "in": 3}


def test_time_is_the_tests() -> None:
    """What an expression and the context say of the time is what the clock says."""
    said = {
        "Type": "Pass",
        "Output": ["{% $millis() %}", "{% $states.context.State.EnteredTime %}"],
        "End": True,
    }
    assert started(machine(Say=said), clock=lambda: NOW + 1.5).output == [
        1_700_000_001_500,
        "2023-11-14T22:13:21.500Z",
    ]
