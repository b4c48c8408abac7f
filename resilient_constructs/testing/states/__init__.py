"""Run a state machine in this process, state by state: its time, its chance and its tasks are the test's.

    machine = StateMachine(definition)
    execution = machine.start({"page": 7}, clock=lambda: now, random=lambda: 0.5)
    execution.pending[0].succeed({"Payload": "done"})
    assert execution.output == "done"

It knows JSONata alone, and what it does not know it refuses instead of passing over it. Needs the package
jsonata-python, which the extra ``local`` brings.

What it covers: Task, Choice, Wait, Pass, Succeed, Fail, Parallel and Map, inline and distributed; Retry,
Catch, Assign, Output and Arguments; the six functions that Step Functions adds; ``$states``; scopes of
variables; the sizes of data and of variables. What it leaves to the test: how long a task takes
(``time_out`` says that it took too long), and what any ``Resource`` does. What it does not have: JSONPath,
redrives, Parquet and inventories as items, the execution's own ``TimeoutSeconds``, quotas of events and of
time, and AWS's texts of causes word by word.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
https://states-language.net/spec.html
"""

from __future__ import annotations

from .checking import faults_of
from .errors import StatesError
from .execution import Execution, Status
from .machine import StateMachine
from .pending import Pending, TaskCall, Waiting
from .table import Table

__all__ = [
    "Execution",
    "Pending",
    "StateMachine",
    "StatesError",
    "Status",
    "Table",
    "TaskCall",
    "Waiting",
    "faults_of",
]
