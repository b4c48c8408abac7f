"""The execution that a thread works for, and a sleep that ends with it.

AWS: StopExecution and TimeoutSeconds of the state machine end an execution wherever it is.
ministack 1.5.33: a stopped one sleeps on, and state machines have no timeout.
Here: nothing is replaced; the other files about workflows build on it.
https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sfn

__all__ = ["CURRENT", "Ended", "Run", "begin", "close", "end_all", "run_of", "sleep"]

_lock = threading.Lock()
_runs: dict[str, Run] = {}


class Ended(Exception):  # noqa: N818  it reads as what happened
    """The execution is over, and whatever still works for it stops."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution from its start, or its redrive, to its end.

    :param execution: ministack's record of it
    :param role: ARN of the state machine's role
    :param over: set once it has a final status
    """

    execution: dict[str, Any]
    role: str
    over: threading.Event = field(default_factory=threading.Event)

    def end(self, status: str, event: str, details: dict[str, Any], **members: Any) -> bool:
        """Give the execution its final status.

        :param event: the history event's type
        :returns: False when it has one already
        """
        with _lock:
            if self.execution["status"] != "RUNNING":
                return False
            self.execution.update(status=status, stopDate=now_iso(), **members)
        sfn._add_event(self.execution, event, details)
        sfn._emit_execution_status_event(self.execution)
        self.over.set()
        return True

    def check(self) -> None:
        """Go on, or stop with ``Ended``."""
        if self.over.is_set():
            raise Ended(self.execution["executionArn"])


CURRENT: ContextVar[Run | None] = ContextVar("resilient_workflow_run", default=None)


def begin(execution: dict[str, Any], role: str) -> Run:
    """A thread begins to work for an execution."""
    run = Run(execution, role)
    with _lock:
        _runs[execution["executionArn"]] = run
    CURRENT.set(run)
    return run


def run_of(arn: str) -> Run | None:
    """The run of an execution that has begun in this process, its last one."""
    return _runs.get(arn)


def end_all() -> None:
    """Forget every execution; what still works for one stops. Nobody is told."""
    with _lock:
        for run in _runs.values():
            if run.execution["status"] == "RUNNING":
                run.execution["status"] = "ABORTED"
            run.over.set()
        _runs.clear()


def sleep(seconds: float) -> None:
    """Sleep, as long as the execution lasts."""
    run, scaled = CURRENT.get(), seconds * sfn._SFN_WAIT_SCALE
    if run is None:
        threading.Event().wait(max(0, scaled))
    elif run.over.wait(max(0, scaled)):
        run.check()


def close() -> None:
    """Put it in place."""
    reset = sfn.reset

    def reset_all() -> None:
        end_all()
        reset()

    sfn.reset = reset_all
    sfn._scaled_sleep = sleep
