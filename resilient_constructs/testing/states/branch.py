"""The states of one scope, one after the other: the machine's, a Parallel's branch, a Map's iteration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import DATA_LIMIT, QUERY, StatesError, is_for
from .pending import Pending, TaskCall, Waiting
from .times import seconds_of, timestamp

if TYPE_CHECKING:
    from .crowd import Run
    from .execution import Execution

__all__ = ["Branch"]

_LARGEST_DATA = 262_144
"""Input, output, result and all variables of one Assign, in bytes of UTF-8.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

_LARGEST_VARIABLES = 10 * 1_048_576
"""https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html"""

_End = Callable[[Any, "StatesError | None"], None]


class Branch:
    """Runs a scope's states until one is terminal.

    :param scope: has ``StartAt`` and ``States``
    :param execution: whose pending answers and visited states these are
    :param outer: variables of the scopes around it, which it may read
    :param context: what ``$states.context`` is
    :param end: called once, with the output or the error
    """

    def __init__(
        self,
        scope: Mapping[str, Any],
        execution: Execution,
        outer: Mapping[str, Any],
        context: dict[str, Any],
        end: _End,
    ) -> None:
        self.execution = execution
        self.variables: dict[str, Any] = dict(outer)
        self.context = dict(context)
        self._scope = scope
        self._end = end
        self._is_over = False
        self._inner: list[Branch] = []
        self._waiting: Pending | None = None
        self._name = ""
        self._input: Any = None
        self._entered_at = 0.0
        self._attempts: dict[int, int] = {}

    def begin(self, data: Any) -> None:
        """Enter the first state."""
        self._enter(str(self._scope["StartAt"]), data)

    def abort(self) -> None:
        """Stop here; a sibling failed, or the execution was stopped."""
        self._is_over = True
        if self._waiting is not None:
            self._stop_waiting()
        for inner in self._inner:
            inner.abort()

    @property
    def state(self) -> Mapping[str, Any]:
        """The state that it is in."""
        state: Mapping[str, Any] = self._scope["States"][self._name]
        return state

    def field(self, name: str, **values: Any) -> Any:
        """A field of the state, evaluated."""
        return self._evaluate(self.state[name], name, values)

    def _enter(self, name: str, data: Any) -> None:
        self._name, self._input, self._attempts = name, data, {}
        self._entered_at = self.execution.moment.clock()
        self._do()

    def _do(self) -> None:
        self.execution.visited.append(self._name)
        self.context["State"] = {
            "Name": self._name,
            "EnteredTime": timestamp(self._entered_at),
            "RetryCount": sum(self._attempts.values()),
        }
        try:
            _check_size(self._input, f"the input of {self._name}")
            getattr(self, f"_do_{self.state['Type'].lower()}")()
        except StatesError as error:
            self._fail(error)

    def _do_pass(self) -> None:
        self._leave(self._input)

    def _do_succeed(self) -> None:
        self._leave(self._input)

    def _do_fail(self) -> None:
        name = self.field("Error") if "Error" in self.state else "States.Fail"
        cause = self.field("Cause") if "Cause" in self.state else ""
        if not isinstance(name, str) or not isinstance(cause, str):
            raise StatesError(QUERY, f"{self._name}: Error and Cause have to be strings")
        self._finish(None, StatesError(name, cause))

    def _do_choice(self) -> None:
        for number, rule in enumerate(self.state["Choices"]):
            holds = self._evaluate(rule["Condition"], f"Choices[{number}]/Condition", {})
            if not isinstance(holds, bool):
                raise StatesError(
                    QUERY, f"{self._name}: the Condition returned {holds!r}, which is no boolean"
                )
            if holds:
                self._move(rule, rule["Next"], self._input, f"Choices[{number}]/", {})
                return
        if "Default" not in self.state:
            raise StatesError(
                "States.NoChoiceMatched", f"{self._name}: no rule holds, and there is no Default"
            )
        self._move(self.state, self.state["Default"], self._input, "", {})

    def _do_wait(self) -> None:
        if "Seconds" in self.state:
            seconds = self.field("Seconds")
            if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
                raise StatesError(
                    QUERY, f"{self._name}: Seconds is {seconds!r}; allowed: whole seconds, from 0"
                )
            until = self._entered_at + seconds
        else:
            moment = self.field("Timestamp")
            try:
                until = seconds_of(moment)
            except (ValueError, TypeError) as fault:
                raise StatesError(QUERY, f"{self._name}: {fault}") from None
        self._wait(until, lambda: self._leave(self._input), is_retry=False)

    def _do_task(self) -> None:
        if self.state["Resource"].endswith(".waitForTaskToken"):
            self.context["Task"] = {"Token": f"{self.execution.name}/{len(self.execution.visited)}"}
        arguments = self.field("Arguments") if "Arguments" in self.state else self._input
        _check_size(arguments, f"the arguments of {self._name}")
        call = TaskCall(
            state=self._name,
            entered_at=self._entered_at,
            resource=self.state["Resource"],
            arguments=arguments,
            attempt=sum(self._attempts.values()),
            timeout_seconds=self._seconds("TimeoutSeconds"),
            heartbeat_seconds=self._seconds("HeartbeatSeconds"),
            credentials=self.field("Credentials") if "Credentials" in self.state else None,
            _answer=self._answered,
        )
        self._wait_for(call)

    def _do_parallel(self) -> None:
        from .crowd import Crowd

        data = self.field("Arguments") if "Arguments" in self.state else self._input
        Crowd(self, [(branch, data, {}) for branch in self.state["Branches"]], 0).begin()

    def _do_map(self) -> None:
        from .crowd import Crowd

        if self.state["ItemProcessor"].get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            from .distributed import MapRun

            MapRun(self).begin()
            return
        items = self.field("Items") if "Items" in self.state else self._input
        if not isinstance(items, list):
            raise StatesError(QUERY, f"{self._name}: Items is no array")
        most = self.field("MaxConcurrency") if "MaxConcurrency" in self.state else 0
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise StatesError(
                QUERY, f"{self._name}: MaxConcurrency is {most!r}; allowed: whole numbers, from 0"
            )
        runs: list[Run] = []
        for index, item in enumerate(items):
            extra = {"Map": {"Item": {"Index": index, "Value": item}}}
            data = self.field_for_item("ItemSelector", index, item) if "ItemSelector" in self.state else item
            runs.append((self.state["ItemProcessor"], data, extra))
        Crowd(self, runs, most).begin()

    def field_for_item(self, name: str, index: int, item: Any) -> Any:
        """A field of a Map, evaluated for one of its items."""
        extra = {"Map": {"Item": {"Index": index, "Value": item}}}
        return self._evaluate(self.state[name], name, {}, extra)

    def finish_crowd(self, results: Any, error: StatesError | None) -> None:
        """All branches or iterations are over, or one failed."""
        self._inner = []
        self._answered(results, error)

    def abort_inner(self) -> None:
        """Those that still run are stopped."""
        for inner in self._inner:
            inner.abort()

    def add(self, inner: Branch) -> None:
        """A branch or iteration of this state has begun."""
        self._inner.append(inner)

    def _answered(self, result: Any, error: StatesError | None) -> None:
        self._waiting_is_over()
        if self._is_over:
            return
        try:
            if error is not None:
                raise error
            _check_size(result, f"the result of {self._name}")
            self._leave(result, result=result)
        except StatesError as failure:
            self._fail(failure)

    def _leave(self, output: Any, **values: Any) -> None:
        self._move(self.state, self.state.get("Next"), output, "", values)

    def _move(
        self, part: Mapping[str, Any], target: str | None, output: Any, where: str, values: Mapping[str, Any]
    ) -> None:
        """Assign and Output at once, from what was known on entry; then the next state."""
        if "Output" in part:
            output = self._evaluate(part["Output"], f"{where}Output", values)
        assigned = self._evaluate(part.get("Assign", {}), f"{where}Assign", values)
        _check_size(list(assigned.values()), f"Assign of {self._name}")
        _check_size(output, f"the output of {self._name}")
        self.variables.update(assigned)
        if len(json.dumps(self.variables)) > _LARGEST_VARIABLES:
            raise StatesError(DATA_LIMIT, "the variables are larger than 10 MiB")
        if target is None:
            self._finish(output, None)
        else:
            self._enter(target, output)

    def _fail(self, error: StatesError) -> None:
        for number, retrier in enumerate(self.state.get("Retry", ())):
            if is_for(retrier["ErrorEquals"], error.name):
                done = self._attempts.get(number, 0)
                if done < retrier.get("MaxAttempts", 3):
                    self._attempts[number] = done + 1
                    until = self.execution.moment.clock() + self._delay(retrier, done)
                    self._wait(until, self._do, is_retry=True)
                    return
                break
        for number, catcher in enumerate(self.state.get("Catch", ())):
            if is_for(catcher["ErrorEquals"], error.name):
                output = {"Error": error.name, "Cause": error.cause}
                try:
                    self._move(catcher, catcher["Next"], output, f"Catch[{number}]/", {"errorOutput": output})
                except StatesError as inner:
                    self._finish(None, inner)
                return
        self._finish(None, error)

    def _delay(self, retrier: Mapping[str, Any], done: int) -> float:
        grown = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** done
        longest = min(grown, retrier.get("MaxDelaySeconds", grown))
        return float(
            longest * (self.execution.moment.random() if retrier.get("JitterStrategy") == "FULL" else 1)
        )

    def _wait(self, until: float, then: Callable[[], None], *, is_retry: bool) -> None:
        def woken(_: Any, __: StatesError | None) -> None:
            self._waiting_is_over()
            if not self._is_over:
                try:
                    then()
                except StatesError as error:
                    self._finish(None, error)

        self._wait_for(
            Waiting(
                state=self._name, entered_at=self._entered_at, until=until, is_retry=is_retry, _answer=woken
            )
        )

    def _wait_for(self, pending: Pending) -> None:
        self._waiting = pending
        self.execution.pending.append(pending)

    def _waiting_is_over(self) -> None:
        if self._waiting is not None:
            self.execution.pending.remove(self._waiting)
            self._waiting = None

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.is_over = True
        self._waiting_is_over()

    def _finish(self, output: Any, error: StatesError | None) -> None:
        self._is_over = True
        self._end(output, error)

    def _seconds(self, name: str) -> int | None:
        if name not in self.state:
            return None
        seconds = self.field(name)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
            raise StatesError(QUERY, f"{self._name}: {name} is {seconds!r}; allowed: whole seconds, from 1")
        return seconds

    def _evaluate(
        self, template: Any, where: str, values: Mapping[str, Any], extra: Mapping[str, Any] | None = None
    ) -> Any:
        states = {"input": self._input, "context": {**self.context, **(extra or {})}, **values}
        return self.execution.expressions.evaluate(
            template,
            {**self.variables, "states": states},
            self.execution.moment,
            f"{self._name}/{where}",
        )


def _check_size(value: Any, what: str) -> None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > _LARGEST_DATA:
        raise StatesError(DATA_LIMIT, f"{what} has {size} bytes; allowed: {_LARGEST_DATA}")
