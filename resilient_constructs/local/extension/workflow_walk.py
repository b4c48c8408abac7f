"""An execution's way through its states, from the first, or from the one that a redrive goes on with.

AWS: TimeoutSeconds of the state machine ends an execution as TIMED_OUT, an express one's after five minutes.
What a state gives on is 256 KiB at most. The context tells of redrives. All expressions of a state see the
variables as they were when it was entered. A branch, or an item of a map, has variables of its own, and a
Parallel state has Arguments, Output and Assign.
ministack 1.5.33: has neither timeout nor limit, and begins with the first state always; an Assign sees what
it has assigned before; branches share their variables and where they are; ignores JSONata in Parallel, in
Succeed within a branch, and the Output of a Choice that takes its Default.
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

from __future__ import annotations

import contextvars
import copy
import json
import logging
import threading
from types import ModuleType
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sfn

from .workflow_running import CURRENT, Ended, Run, begin

__all__ = ["MOST_BYTES", "close", "size_of", "walk"]

MOST_BYTES = 262_144
_LONGEST_EXPRESS = 300
_PATIENCE_MS = 60_000

_logger = logging.getLogger("states")


def close() -> None:
    """Put it in place."""
    branches = sfn._run_parallel_branches

    def run_branches(state: dict[str, Any], value: Any, execution: Any, context: dict[str, Any]) -> Any:
        if sfn._state_query_language(state, context) != "JSONata":
            return branches(state, value, execution, context)
        given = sfn._apply_jsonata_arguments(state, value, context)
        results, _ = branches({"Branches": state.get("Branches", []), "End": True}, given, execution, context)
        output = sfn._apply_jsonata_output(state, value, context, result=results, default=results)
        sfn._apply_state_assign(state, value, context, result=results)
        return output, sfn._next_or_end(state)

    choice = sfn._execute_choice

    def choose(state: dict[str, Any], value: Any, context: Any = None) -> Any:
        if sfn._state_query_language(state, context) != "JSONata":
            return choice(state, value, context)
        return _choose(state, value, context)

    sfn._execute_choice = choose
    sfn._apply_state_assign = _assign
    sfn.jsonata = _patient(sfn.jsonata)
    sfn._run_parallel_branches = run_branches
    sfn._run_sub_machine = _branch


def size_of(value: Any) -> int:
    """Bytes of a value as JSON, as Step Functions counts them."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def walk(arn: str) -> None:
    """Work for one execution until it is over, in a thread of its own."""
    execution = sfn._executions.get(arn)
    machine = None if execution is None else sfn._state_machines.get(execution["stateMachineArn"])
    if execution is None or machine is None:
        if execution is not None:
            sfn._fail_execution(execution, "StateMachineDeleted", "State machine no longer exists")
        return
    run = begin(execution, machine["roleArn"])
    # A redrive runs what the execution was started with, whatever has been deployed since.
    definition = json.loads(execution.setdefault("definition", machine["definition"]))
    limit = definition.get("TimeoutSeconds") or 99_999_999
    if machine["type"] == "EXPRESS":
        limit = min(limit, _LONGEST_EXPRESS)
    timer = threading.Timer(
        min(limit, threading.TIMEOUT_MAX), contextvars.copy_context().run, (_time_out, run, limit)
    )
    timer.daemon = True
    timer.start()
    try:
        _through(run, definition, machine)
    except sfn._ExecutionError as error:
        _fail(run, error.error, error.cause)
    except Ended:
        pass
    except Exception as error:
        _logger.exception("an execution failed in the emulator")
        _fail(run, "States.Runtime", str(error))
    finally:
        timer.cancel()
        run.over.set()


def _through(run: Run, definition: dict[str, Any], machine: dict[str, Any]) -> None:
    execution, states = run.execution, definition.get("States", {})
    at = execution.get("at") or {
        "state": definition.get("StartAt"),
        "input": json.loads(execution["input"]),
        "variables": {},
    }
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution["executionArn"],
            "Input": json.loads(execution["input"]),
            "Name": execution["name"],
            "RoleArn": run.role,
            "StartTime": execution["startDate"],
            "RedriveCount": execution.get("redriveCount", 0),
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": copy.deepcopy(at["variables"]),
    }
    if execution.get("redriveDate"):
        context["Execution"]["RedriveTime"] = execution["redriveDate"]
    name, value = at["state"], at["input"]
    while name is not None:
        run.check()
        # Where a redrive goes on.
        execution["at"] = {"state": name, "input": value, "variables": copy.deepcopy(context["variables"])}
        name, value = _step(execution, name, states, value, context)
    output = json.dumps(value)
    run.end(
        "SUCCEEDED",
        "ExecutionSucceeded",
        {"executionSucceededEventDetails": {"output": output}},
        output=output,
    )


def _patient(stock: Any) -> Any:
    """The expressions' engine with time enough for a machine that does much else.

    An expression ends after a second, as on AWS; but here hundreds of executions share a processor,
    and an expression that fails for it is no fault of the workflow.
    """
    own = ModuleType("jsonata")
    own.__dict__.update(stock.__dict__)

    class Jsonata(stock.Jsonata):  # type: ignore[misc]
        @staticmethod
        def jsonata(expression: str, timeout: int | None = None) -> Any:  # noqa: ARG004
            return stock.Jsonata.jsonata(expression, timeout=_PATIENCE_MS)

    own.__dict__["Jsonata"] = Jsonata
    return own


def _choose(state: dict[str, Any], value: Any, context: Any) -> tuple[Any, str]:
    """The first rule that holds decides; where none does, the state's own Output and Assign count."""
    rules = state.get("Choices", [])
    rule = next((one for one in rules if sfn._evaluate_jsonata_choice_rule(one, value, context)), None)
    following = state.get("Default") if rule is None else rule["Next"]
    if following is None:
        raise sfn._ExecutionError("States.NoChoiceMatched", "No choice rule matched and no Default")
    taken = {**(state if rule is None else rule), "QueryLanguage": "JSONata"}
    output = sfn._apply_jsonata_output(taken, value, context, default=value)
    _assign(taken, value, context)
    return output, following


def _assign(
    state: dict[str, Any], value: Any, context: Any, result: Any = None, error_output: Any = None
) -> None:
    """All of a state's Assign at once."""
    if context is None or sfn._state_query_language(state, context) != "JSONata":
        return
    assigned = {
        name: sfn._apply_jsonata_template(template, value, context, result=result, error_output=error_output)
        for name, template in (state.get("Assign") or {}).items()
    }
    context.setdefault("variables", {}).update(assigned)


def _branch(states: dict[str, Any], start: str | None, value: Any, execution: Any, context: Any) -> Any:
    """Through the states of a branch, or of one item of a map; its result."""
    own = {**context, "variables": copy.deepcopy(context["variables"])}
    run, name, value = CURRENT.get(), start, copy.deepcopy(value)
    while name is not None:
        if run is not None:
            run.check()
        name, value = _step(execution, name, states, value, own)
    return value


def _step(
    execution: dict[str, Any], name: str, states: dict[str, Any], value: Any, context: dict[str, Any]
) -> tuple[str | None, Any]:
    state = states.get(name)
    if state is None:
        raise sfn._ExecutionError("States.Runtime", f"State '{name}' not found in definition")
    kind = state.get("Type")
    context["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
    entered = {"name": name, "input": json.dumps(value)}
    sfn._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
    following: str | None = None
    if kind == "Fail":
        raise sfn._ExecutionError(*sfn._fail_state_error(state, value, context))
    if kind == "Succeed":
        value = _succeeded(state, value, context)
    elif kind in ("Task", "Parallel", "Map"):
        execute = {"Task": sfn._execute_task, "Parallel": sfn._execute_parallel, "Map": sfn._execute_map}[
            kind
        ]
        value, following = execute(state, value, execution, context)
    elif kind in ("Pass", "Choice", "Wait"):
        plain = {"Pass": sfn._execute_pass, "Choice": sfn._execute_choice, "Wait": sfn._execute_wait}
        value, following = plain[kind](state, value, context)
    else:
        raise sfn._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
    if size_of(value) > MOST_BYTES:
        raise sfn._ExecutionError(
            "States.DataLimitExceeded",
            f"The state '{name}' returned a result with a size exceeding the maximum number of bytes service "
            "limit.",
        )
    left = {"name": name, "output": json.dumps(value)}
    sfn._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": left})
    return following, value


def _succeeded(state: dict[str, Any], value: Any, context: dict[str, Any]) -> Any:
    if sfn._state_query_language(state, context) == "JSONata":
        return sfn._apply_jsonata_output(state, value, context, default=value)
    return sfn._apply_output_path(state, sfn._apply_input_path(state, value, context), context)


def _fail(run: Run, error: str, cause: str) -> None:
    run.end(
        "FAILED",
        "ExecutionFailed",
        {"executionFailedEventDetails": {"error": error, "cause": cause}},
        error=error,
        cause=cause,
        output=json.dumps({"Error": error, "Cause": cause}),
    )


def _time_out(run: Run, limit: float) -> None:
    cause = f"The execution ran for more than {limit} seconds"
    run.end(
        "TIMED_OUT",
        "ExecutionTimedOut",
        {"executionTimedOutEventDetails": {"error": "States.Timeout", "cause": cause}},
        error="States.Timeout",
        cause=cause,
    )
