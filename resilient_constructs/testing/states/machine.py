"""A state machine that was checked, and can be started any number of times."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .checking import faults_of
from .execution import Execution
from .expressions import Expressions, Moment
from .pending import TaskCall, Waiting

__all__ = ["StateMachine"]


class StateMachine:
    """A definition of JSONata states.

    :param definition: as a dict, or as JSON
    :param name: the machine's name, for ``$states.context``
    :raises ValueError: when the definition has faults; all of them at once
    """

    def __init__(self, definition: Mapping[str, Any] | str, name: str = "Machine") -> None:
        self.definition: dict[str, Any] = (
            json.loads(definition) if isinstance(definition, str) else dict(definition)
        )
        self.name = name
        self.expressions = Expressions()
        faults = faults_of(self.definition, self.expressions)
        if faults:
            raise ValueError(f"the state machine {name} has {len(faults)} faults:\n  " + "\n  ".join(faults))

    def start(
        self,
        data: Any,
        *,
        clock: Callable[[], float],
        random: Callable[[], float] = lambda: 0.5,
        name: str = "execution",
        objects: dict[tuple[str, str], bytes] | None = None,
    ) -> Execution:
        """Start an execution; it has run up to the first task or wait when it is returned.

        :param data: its input
        :param clock: wall-clock seconds
        :param random: from 0 up to 1
        :param name: the execution's
        :param objects: S3 for distributed Maps: content by bucket and key; results are written there too.
            Default: an empty one
        """
        return Execution(
            self.definition,
            data,
            Moment(clock, random),
            self.expressions,
            machine=self.name,
            name=name,
            objects=objects,
        )

    def run(
        self,
        data: Any,
        tasks: Mapping[str, Callable[[TaskCall], Any]],
        *,
        now: float = 1_700_000_000.0,
        random: Callable[[], float] = lambda: 0.5,
        most_steps: int = 10_000,
        objects: dict[tuple[str, str], bytes] | None = None,
        name: str = "execution",
        watch: Callable[[Execution], None] = lambda _: None,
    ) -> Execution:
        """Start an execution and go through with it; waits cost no time.

        :param tasks: by state or resource, what gives a task's result or raises ``StatesError``
        :param objects: S3, as for ``start``
        :param now: where the clock starts; waits move it
        :param watch: is told of the execution before any task is asked
        :raises KeyError: when there is no function for a task
        :raises RuntimeError: when it does not end
        """
        from .errors import StatesError

        moment = [now]
        execution = self.start(data, clock=lambda: moment[0], random=random, objects=objects, name=name)
        watch(execution)
        for _ in range(most_steps):
            if not execution.pending:
                return execution
            first = min(
                execution.pending, key=lambda one: one.until if isinstance(one, Waiting) else moment[0]
            )
            if isinstance(first, Waiting):
                moment[0] = max(moment[0], first.until)
                first.wake()
                continue
            assert isinstance(first, TaskCall)  # noqa: S101  there are two kinds
            do = tasks[first.state] if first.state in tasks else tasks[first.resource]
            try:
                result = do(first)
            except StatesError as error:
                first.fail(error.name, error.cause)
            else:
                first.succeed(result)
        raise RuntimeError(
            f"the execution did not end within {most_steps} steps; last: {execution.visited[-5:]}"
        )
