"""A state machine that runs with a table and queues in memory, and a downstream that the test speaks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resilient_runtime.breaker import BreakerPolicy, Circuit, CircuitState
from resilient_runtime.stores.circuits import DynamoDBCircuits

from resilient_constructs.breaker_workflow.machine import (
    MachinePlan,
    PlatformRetry,
    RetryRule,
    WorkTask,
    definition,
)
from resilient_constructs.testing.states import Execution, StateMachine, StatesError, Table, TaskCall

__all__ = ["NAME", "START", "World", "failing_with", "plan", "work"]

NAME = "Courier"
START = 1_700_000_000.0
DEAD, PARKED = "https://sqs/dead", "https://sqs/parked"


def work(**more: Any) -> WorkTask:
    """A function as the work."""
    return WorkTask(
        **{
            "resource": "arn:aws:states:::lambda:invoke",
            "arguments": {"FunctionName": "arn:f", "Payload": "{% $work %}"},
            "output": "{% $states.result.Payload %}",
            "timeout_seconds": 60,
            "platform_retries": (PlatformRetry(errors=("Lambda.ServiceException",)),),
            **more,
        }
    )


def plan(**more: Any) -> MachinePlan:
    """A workflow with everything as it is by default."""
    return MachinePlan(
        **{
            "downstream": NAME,
            "table": "circuits",
            "policy": BreakerPolicy(),
            "work": work(),
            "retries": (RetryRule(errors=("States.ALL",), attempts=2),),
            "parked_queue_url": PARKED,
            "dead_letter_queue_url": DEAD,
            "timeout_seconds": 86_400,
            **more,
        }
    )


def failing_with(error: str, cause: str = "why") -> Callable[[TaskCall], Any]:
    """A task that fails each time."""

    def fail(_: TaskCall) -> Any:
        raise StatesError(error, cause)

    return fail


class World:
    """Tables, queues, and a work that gives back what it got, unless the test says otherwise."""

    def __init__(self, made_of: MachinePlan | None = None) -> None:
        self.plan = made_of or plan()
        self.machine = StateMachine(definition(self.plan), "Analyse")
        self.table = Table()
        self.sent: dict[str, list[Any]] = {DEAD: [], PARKED: []}
        self.delays: list[object] = []
        """Seconds for which each message stays out of sight at first."""
        self.asked: list[TaskCall] = []
        self.tasks: dict[str, Callable[[TaskCall], Any]] = {
            "arn:aws:states:::lambda:invoke": lambda call: {"Payload": call.arguments["Payload"]},
            "arn:aws:states:::dynamodb:getItem": lambda call: self._ask(call, self.table.get_item),
            "arn:aws:states:::dynamodb:updateItem": lambda call: self._ask(call, self.table.update_item),
            "arn:aws:states:::sqs:sendMessage": self._send,
        }

    @property
    def dead(self) -> list[Any]:
        """What was dead-lettered."""
        return self.sent[DEAD]

    @property
    def parked(self) -> list[Any]:
        """What was parked."""
        return self.sent[PARKED]

    @property
    def circuit(self) -> Circuit:
        """As the runtime reads it."""
        return DynamoDBCircuits("circuits", lambda: self.table).read(NAME).circuit

    def put(self, state: CircuitState, **more: Any) -> None:
        """The circuit is in this state."""
        circuit = Circuit(state=state, version=3, **more)
        DynamoDBCircuits("circuits", lambda: self.table).change(NAME, circuit, before=Circuit())

    def work_is(self, do: Callable[[TaskCall], Any]) -> None:
        """What the work does from now on."""
        self.tasks["arn:aws:states:::lambda:invoke"] = do

    def run(self, data: Any = None, **more: Any) -> Execution:
        """One execution, to its end."""
        return self.machine.run(data, self.tasks, **{"now": START, **more})

    def _ask(self, call: TaskCall, operation: Callable[..., Any]) -> Any:
        self.asked.append(call)
        return operation(**call.arguments)

    def _send(self, call: TaskCall) -> Any:
        self.delays.append(call.arguments.get("DelaySeconds"))
        self.sent[call.arguments["QueueUrl"]].append(call.arguments["MessageBody"])
        return {"MessageId": "1"}
