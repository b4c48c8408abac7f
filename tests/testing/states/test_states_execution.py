"""How executions go through their states."""

from __future__ import annotations

from typing import Any

import pytest
from state_machines import NOW, machine, machine_of_task, started, task

from resilient_constructs.testing.states import StateMachine, StatesError, TaskCall, Waiting

ALL = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]


def pending(execution: Any) -> Any:
    """The one thing that it waits for."""
    (one,) = execution.pending
    return one


def test_a_task_waits_for_the_test() -> None:
    """A call has its arguments, and the result is the output."""
    execution = started(machine_of_task(Arguments={"n": "{% $states.input + 1 %}"}), 1)
    call = pending(execution)
    assert isinstance(call, TaskCall)
    assert (call.arguments, call.resource, execution.status) == ({"n": 2}, "arn:do", "RUNNING")
    call.succeed({"done": True})
    assert (execution.status, execution.output, execution.pending) == ("SUCCEEDED", {"done": True}, [])


def test_an_answer_is_given_once() -> None:
    """Nobody answers a call that is over."""
    execution = started(machine_of_task())
    call = pending(execution)
    call.succeed(1)
    with pytest.raises(RuntimeError, match="Do has its answer"):
        call.fail("Late")


def test_what_nobody_catches_fails_the_execution() -> None:
    """With the error's own name and cause."""
    execution = started(machine_of_task())
    pending(execution).fail("Boom", "why")
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "Boom", "why")


@pytest.mark.parametrize(
    ("errors", "error", "is_caught"),
    [
        (["States.ALL"], "Boom", True),
        (["States.ALL"], "States.Timeout", True),
        (["States.ALL"], "States.QueryEvaluationError", True),
        (["States.ALL"], "States.DataLimitExceeded", False),
        (["States.DataLimitExceeded"], "States.DataLimitExceeded", True),
        (["States.ALL"], "States.Runtime", False),
        (["States.Runtime"], "States.Runtime", False),
        (["States.TaskFailed"], "Boom", True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.Timeout"], "States.HeartbeatTimeout", True),
        (["Boom", "Bang"], "Bang", True),
        (["Boom"], "boom", False),
    ],
)
def test_catchers_are_for_these_errors(errors: list[str], error: str, is_caught: bool) -> None:
    """Names are exact; the wildcards leave out what AWS's do."""
    execution = started(machine_of_task(Catch=[{"ErrorEquals": errors, "Next": "Caught"}]))
    pending(execution).fail(error, "why")
    assert (execution.status == "SUCCEEDED") == is_caught
    assert execution.output == ({"caught": {"Error": error, "Cause": "why"}} if is_caught else None)


def test_a_catcher_assigns_and_outputs() -> None:
    """With the error's output at hand, and the state's own Assign left out."""
    catcher = {
        "ErrorEquals": ["States.ALL"],
        "Assign": {"why": "{% $states.errorOutput.Cause %}"},
        "Output": "{% $states.input %}",
        "Next": "Caught",
    }
    execution = started(machine_of_task(Assign={"why": "well"}, Catch=[catcher]), 7)
    pending(execution).fail("Boom", "down")
    assert (execution.variables, execution.output) == ({"why": "down"}, {"caught": 7})


def test_retriers_wait_longer_each_time_up_to_their_cap_and_then_let_go() -> None:
    """Delays grow up to MaxDelaySeconds, times chance with full jitter; then it is the catchers' turn."""
    retrier = {
        "ErrorEquals": ["Boom"],
        "IntervalSeconds": 2,
        "MaxAttempts": 3,
        "BackoffRate": 3,
        "MaxDelaySeconds": 7,
    }
    for jitter, chance in (("NONE", 1.0), ("FULL", 0.5)):
        made = machine_of_task(Retry=[{**retrier, "JitterStrategy": jitter}], Catch=ALL)
        execution = started(made, random=lambda: 0.5)
        delays = []
        for attempt in range(4):
            assert pending(execution).attempt == attempt
            pending(execution).fail("Boom")
            if isinstance(waiting := (execution.pending or [None])[0], Waiting):
                delays.append(waiting.until - NOW)
                waiting.wake()
        assert delays == [2 * chance, 6 * chance, 7 * chance]
        assert execution.visited == ["Do"] * 4 + ["Caught"]
        assert execution.transitions == 5


def test_each_retrier_counts_for_itself() -> None:
    """The attempts of one are not another's, and the first that has the error decides."""
    retry = [{"ErrorEquals": ["A", "B"], "MaxAttempts": 2}, {"ErrorEquals": ["C"], "MaxAttempts": 1}]
    execution = started(machine_of_task(Retry=retry, Catch=ALL))
    for error in ("A", "B", "C"):
        pending(execution).fail(error)
        pending(execution).wake()
    pending(execution).fail("B")
    assert execution.output == {"caught": {"Error": "B", "Cause": ""}}


def test_a_fault_in_arguments_and_in_outputs_is_the_tasks() -> None:
    """It is tried again and caught like any other error of the task."""
    for more in ({"Arguments": "{% $missing %}"}, {"Output": "{% $states.result.missing %}"}):
        execution = started(machine_of_task(Catch=ALL, **more))
        if execution.pending:
            pending(execution).succeed({})
        assert execution.output["caught"]["Error"] == "States.QueryEvaluationError"


def test_a_task_may_take_too_long() -> None:
    """The test says so; a task without a timeout would wait for ever, so that is refused."""
    execution = started(machine_of_task(TimeoutSeconds="{% $states.input %}", HeartbeatSeconds=2), 5)
    assert (pending(execution).timeout_seconds, pending(execution).heartbeat_seconds) == (5, 2)
    pending(execution).time_out()
    assert execution.error == "States.Timeout"
    with pytest.raises(RuntimeError, match="no timeout"):
        pending(started(machine_of_task())).time_out()


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "5", True])
def test_a_timeout_is_whole_seconds(seconds: Any) -> None:
    """What is none fails as AWS fails it."""
    execution = started(machine_of_task(TimeoutSeconds="{% $states.input %}"), seconds)
    assert execution.error == "States.QueryEvaluationError"


def test_choices_take_the_first_rule_that_holds() -> None:
    """With the rule's Assign and Output; the default has the state's."""
    made = machine(
        Which={
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input > 2 %}", "Next": "End", "Assign": {"x": 2}, "Output": "two"},
                {"Condition": "{% $states.input > 1 %}", "Next": "End", "Assign": {"x": 1}},
            ],
            "Default": "End",
            "Assign": {"x": 0},
        },
        End={"Type": "Succeed", "Output": ["{% $states.input %}", "{% $x %}"]},
    )
    assert [started(made, n).output for n in (3, 2, 1)] == [["two", 2], [2, 1], [1, 0]]


@pytest.mark.parametrize(
    ("condition", "error"),
    [("{% 1 %}", "States.QueryEvaluationError"), ("{% false %}", "States.NoChoiceMatched")],
)
def test_a_choice_without_a_way_on_fails(condition: str, error: str) -> None:
    """No boolean, or no rule and no default."""
    rule = {"Condition": condition, "Next": "End"}
    made = machine(Which={"Type": "Choice", "Choices": [rule]}, End={"Type": "Succeed"})
    assert started(made).error == error


@pytest.mark.parametrize(
    ("field", "value", "until"),
    [
        ("Seconds", 7, NOW + 7),
        ("Seconds", "{% $states.input * 2 %}", NOW + 10),
        ("Timestamp", "2023-11-14T22:13:30Z", NOW + 10),
        ("Timestamp", "{% $fromMillis($millis() + 2999) %}", NOW + 2),
    ],
)
def test_waits_end_when_they_say(field: str, value: Any, until: float) -> None:
    """After seconds or at a moment, whose milliseconds are cut off."""
    execution = started(machine(Rest={"Type": "Wait", field: value, "End": True}), 5)
    assert pending(execution).until == until
    pending(execution).wake()
    assert (execution.status, execution.output) == ("SUCCEEDED", 5)


@pytest.mark.parametrize("seconds", [-1, 1.5, "5", True])
def test_a_wait_is_whole_seconds(seconds: Any) -> None:
    """What is none fails."""
    rest = {"Type": "Wait", "Seconds": "{% $states.input %}", "End": True}
    assert started(machine(Rest=rest), seconds).error == "States.QueryEvaluationError"


def test_a_map_runs_so_many_at_once() -> None:
    """Iterations begin as others end, know their item, and give their outputs in order."""
    inner = {"StartAt": "Each", "States": {"Each": task(Arguments="{% $states.input + $base %}")}}
    selector = {"ItemSelector": "{% $states.context.Map.Item.Value * 10 + $states.context.Map.Item.Index %}"}
    each = {
        "Type": "Map",
        "Items": [1, 2, 3],
        "MaxConcurrency": 2,
        "ItemProcessor": inner,
        "End": True,
        **selector,
    }
    execution = started(machine(Set={"Type": "Pass", "Assign": {"base": 100}, "Next": "All"}, All=each))
    assert [call.arguments for call in execution.pending] == [110, 121]
    execution.pending[1].succeed("b")
    assert [call.arguments for call in execution.pending] == [110, 132]
    execution.pending[1].succeed("c")
    execution.pending[0].succeed("a")
    assert execution.output == ["a", "b", "c"]


def test_one_branch_that_fails_ends_the_others() -> None:
    """The Parallel's error is the branch's; it is caught as the state's, and nobody answers the rest."""
    branches = [{"StartAt": name, "States": {name: task()}} for name in ("A", "B")]
    both = {"Type": "Parallel", "Branches": branches, "Catch": ALL, "End": True}
    execution = started(machine(Both=both, Caught={"Type": "Succeed"}))
    other, failing = execution.pending
    failing.fail("Boom")
    assert (execution.output["Error"], execution.pending, other.is_over) == ("Boom", [], True)


def test_too_much_data_is_an_error_by_name() -> None:
    """Over 256 KiB, in and out."""
    execution = started(machine_of_task())
    pending(execution).succeed("x" * 262_144)
    assert execution.error == "States.DataLimitExceeded"


def test_an_execution_can_be_stopped() -> None:
    """Nothing goes on after that."""
    execution = started(machine_of_task())
    call = pending(execution)
    execution.abort()
    assert (execution.status, execution.pending, call.is_over) == ("ABORTED", [], True)


def test_a_whole_run_moves_the_clock_over_the_waits() -> None:
    """Functions stand in for the tasks, by state or by resource, and may raise."""
    made = machine(
        Rest={"Type": "Wait", "Seconds": 60, "Next": "First"},
        First=task(Next="Second"),
        Second=task(Catch=ALL),
        Caught={"Type": "Succeed", "Output": "{% $millis() %}"},
    )

    def fail(_: TaskCall) -> Any:
        raise StatesError("Boom")

    done = made.run(1, {"arn:do": lambda call: call.arguments, "Second": fail}, now=NOW)
    assert (done.output, done.visited) == (1_700_000_060_000, ["Rest", "First", "Second", "Caught"])


def test_a_run_that_does_not_end_says_where_it_was() -> None:
    """A loop is a fault of the machine, not of patience."""
    rule = {"Condition": "{% $states.input = 1 %}", "Next": "Rest"}
    made = machine(
        Rest={"Type": "Wait", "Seconds": 1, "Next": "Which"},
        Which={"Type": "Choice", "Choices": [rule], "Default": "End"},
        End={"Type": "Succeed"},
    )
    with pytest.raises(RuntimeError, match=r"did not end within 10 steps.*Which"):
        made.run(1, {}, most_steps=10)


def test_json_is_a_definition_too() -> None:
    """As AWS::StepFunctions::StateMachine has it."""
    text = '{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed", "Output": 1}}}'
    assert started(StateMachine(text)).output == 1
