"""State machines of a few states, to try the interpreter on."""

from __future__ import annotations

from typing import Any

from resilient_constructs.testing.states import Execution, StateMachine

__all__ = ["NOW", "machine", "machine_of_task", "started", "task", "value_of"]

NOW = 1_700_000_000.0


def machine(**states: dict[str, Any]) -> StateMachine:
    """One that begins with the first of these states."""
    return StateMachine({"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states})


def task(**more: Any) -> dict[str, Any]:
    """A Task, the last state unless it has a Next."""
    end = {} if "Next" in more else {"End": True}
    return {"Type": "Task", "Resource": "arn:do", **end, **more}


def machine_of_task(**more: Any) -> StateMachine:
    """One Task, and a state that knows what failed."""
    caught = {"Type": "Succeed", "Output": {"caught": "{% $states.input %}"}}
    return machine(Do=task(**more), **({"Caught": caught} if "Catch" in more else {}))


def started(made: StateMachine, data: Any = None, **more: Any) -> Execution:
    """An execution at a fixed time."""
    return made.start(data, **{"clock": lambda: NOW, **more})


def value_of(expression: str, data: Any = None, **more: Any) -> Any:
    """What an expression comes to, or the name of the error."""
    execution = started(
        machine(Say={"Type": "Pass", "Output": f"{{% {expression} %}}", "End": True}), data, **more
    )
    return execution.output if execution.status == "SUCCEEDED" else execution.error
