"""One execution: where it is, what it waits for, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .branch import Branch
from .errors import StatesError
from .expressions import Expressions, Moment
from .pending import Pending
from .times import timestamp

__all__ = ["Execution", "Status"]

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]


class Execution:
    """Runs whenever what it waits for is answered; nothing happens by itself.

    :ivar status: RUNNING, SUCCEEDED, FAILED or ABORTED
    :ivar output: of an execution that succeeded
    :ivar error: the name of the error that it failed with
    :ivar cause: that error's cause
    :ivar pending: what it waits for, now
    :ivar objects: S3 as its distributed Maps see it: content by bucket and key
    :ivar map_runs: its Map Runs by ARN, as DescribeMapRun tells of them to a state machine
    :ivar visited: the states that it entered, in order; a retrier's repetition once more. Each is one
        transition, which Standard workflows are billed for: https://aws.amazon.com/step-functions/pricing/
    """

    def __init__(
        self,
        definition: Mapping[str, Any],
        data: Any,
        moment: Moment,
        expressions: Expressions,
        *,
        machine: str,
        name: str,
        objects: dict[tuple[str, str], bytes] | None = None,
    ) -> None:
        self.moment = moment
        self.expressions = expressions
        self.status: Status = "RUNNING"
        self.output: Any = None
        self.error: str | None = None
        self.cause: str | None = None
        self.pending: list[Pending] = []
        self.visited: list[str] = []
        self.name = name
        self.objects: dict[tuple[str, str], bytes] = {} if objects is None else objects
        self.map_runs: dict[str, dict[str, Any]] = {}
        start = timestamp(moment.clock())
        self.context: dict[str, Any] = {
            "Execution": {
                "Id": f"arn:aws:states:eu-west-1:123456789012:execution:{machine}:{name}",
                "Input": data,
                "Name": name,
                "RoleArn": "arn:aws:iam::123456789012:role/machine",
                "StartTime": start,
                "RedriveCount": 0,
            },
            "StateMachine": {
                "Id": f"arn:aws:states:eu-west-1:123456789012:stateMachine:{machine}",
                "Name": machine,
            },
        }
        self._main = Branch(definition, self, {}, self.context, self._end)
        self._main.begin(data)

    @property
    def transitions(self) -> int:
        """How many state transitions it has cost so far."""
        return len(self.visited)

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of the outermost scope, for assertions."""
        return dict(self._main.variables)

    def abort(self) -> None:
        """``StopExecution``, or a machine that died: nothing more happens."""
        self._main.abort()
        self.status = "ABORTED"

    def _end(self, output: Any, error: StatesError | None) -> None:
        if error is None:
            self.status, self.output = "SUCCEEDED", output
        else:
            self.status, self.error, self.cause = "FAILED", error.name, error.cause
