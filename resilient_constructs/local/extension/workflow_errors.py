"""Names of errors in workflows, who catches them, and when a state is tried again.

AWS: ``States.ALL`` and ``States.TaskFailed`` catch neither ``States.DataLimitExceeded`` nor
``States.Runtime``. A delay before a retry grows up to MaxDelaySeconds, JitterStrategy FULL makes it any time
up to that. A throttled function is ``Lambda.TooManyRequestsException``. A nested execution that fails is
``States.TaskFailed`` with its description. A task that sends no heartbeat is ``States.HeartbeatTimeout``. A
result of more than 256 KiB is ``States.DataLimitExceeded``.
ministack 1.5.33: catches everything; ignores MaxDelaySeconds, JitterStrategy and HeartbeatSeconds, and never
waits for longer than a minute; calls a throttle ``Lambda.Unknown``; hands on a nested execution's own error;
has no limit of size.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import contextvars
import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from ministack.services import stepfunctions as sfn

from .workflow_running import CURRENT, run_of, sleep
from .workflow_walk import MOST_BYTES, size_of

__all__ = ["close", "delay_of"]

_NEVER_CAUGHT_BY_ALL = frozenset({"States.DataLimitExceeded", "States.Runtime"})
_TICK = 0.2


def close() -> None:
    """Put it in place."""
    find, call_lambda, invoke, call_back, task = (
        sfn._find_matching_retrier,
        sfn._call_lambda,
        sfn._invoke_resource,
        sfn._invoke_with_callback,
        sfn._execute_task,
    )

    def find_and_wait(retriers: Any, error: str, counts: dict[int, int]) -> Any:
        retrier, index = find(retriers, error, counts)
        if retrier is None:
            return retrier, index
        sleep(delay_of(retrier, counts.get(index, 0), random.random()))  # noqa: S311  a delay, no secret
        # It has been waited here: what ministack waits for is nothing.
        return {**retrier, "IntervalSeconds": 0}, index

    def invoke_function(function: Any, event: Any) -> Any:
        try:
            return call_lambda(function, event)
        except sfn._ExecutionError as error:
            if error.error == "Lambda.Unknown" and '"TooManyRequestsException"' in str(error.cause):
                raise sfn._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
            raise

    def invoke_within_limits(resource: str, data: Any) -> Any:
        _hold_to_limit(resource, data, "was given an input")
        result = _nested(resource, data) if _is_nested_sync(resource) else invoke(resource, data)
        _hold_to_limit(resource, result, "returned a result")
        return result

    def call_back_with_heartbeat(resource: str, data: Any, token: str, state: dict[str, Any]) -> Any:
        seconds = state.get("HeartbeatSeconds")
        if not seconds:
            return call_back(resource, data, token, state)
        listener = threading.Thread(
            target=contextvars.copy_context().run, args=(_listen, token, float(seconds)), daemon=True
        )
        listener.start()
        return call_back(resource, data, token, state)

    def run_task(state: dict[str, Any], value: Any, execution: Any, context: Any) -> Any:
        run = CURRENT.get()
        if run is not None:
            run.check()
        times = {
            name: sfn._jsonata_state_field(state, name, "number", value, context)
            for name in ("TimeoutSeconds", "HeartbeatSeconds")
            if isinstance(state.get(name), str)
        }
        return task({**state, **times}, value, execution, context)

    sfn._error_matches = _matches
    sfn._find_matching_retrier = find_and_wait
    sfn._call_lambda = invoke_function
    sfn._invoke_resource = invoke_within_limits
    sfn._invoke_with_callback = call_back_with_heartbeat
    sfn._execute_task = run_task


def delay_of(retrier: dict[str, Any], count: int, share: float) -> float:
    """Seconds before a retry.

    :param count: retries so far
    :param share: 0 to 1, what a jittered delay is of the whole
    """
    delay = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** count
    delay = min(delay, float(retrier.get("MaxDelaySeconds") or delay))
    return delay * share if retrier.get("JitterStrategy") == "FULL" else delay


def _matches(wanted: Sequence[str], error: str) -> bool:
    if error in wanted or (error == "States.HeartbeatTimeout" and "States.Timeout" in wanted):
        return True
    if error in _NEVER_CAUGHT_BY_ALL:
        return False
    if "States.ALL" in wanted:
        return True
    return "States.TaskFailed" in wanted and error not in ("States.Timeout", "States.HeartbeatTimeout")


def _hold_to_limit(resource: str, value: Any, what: str) -> None:
    if size_of(value) > MOST_BYTES:
        raise sfn._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{resource}' {what} with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def _listen(token: str, seconds: float) -> None:
    """Fail a task once it has been silent for so many seconds."""
    heard, last = None, time.monotonic()
    run = CURRENT.get()
    while (info := sfn._task_tokens.get(token)) is None or not info["event"].is_set():
        if run is not None and run.over.is_set():
            return
        beat = None if info is None else info["heartbeat"]
        if beat != heard:
            heard, last = beat, time.monotonic()
        if info is not None and time.monotonic() - last > seconds:
            info["error"] = {
                "Error": "States.HeartbeatTimeout",
                "Cause": f"no heartbeat for {seconds:g} seconds",
            }
            info["event"].set()
            return
        time.sleep(min(_TICK, seconds / 4))


def _is_nested_sync(resource: str) -> bool:
    return ":states:startExecution.sync" in resource


def _nested(resource: str, data: Any) -> Any:
    """Start an execution as anybody does, and wait for its end."""
    status, _, body = sfn._start_execution(sfn._nested_start_execution_request(data))
    answer = json.loads(body)
    if status >= 400:
        code = str(answer.get("__type", "AWSStepFunctionsException")).rpartition("#")[2]
        raise sfn._ExecutionError(f"StepFunctions.{code}Exception", str(answer.get("message", "")))
    arn = answer["executionArn"]
    run = CURRENT.get()
    while (child := run_of(arn)) is None or not child.over.wait(_TICK):
        if run is not None:
            run.check()
        if child is None:
            time.sleep(0.01)
    told = child.execution
    described = {
        "ExecutionArn": arn,
        "Input": told["input"],
        "InputDetails": {"included": True},
        "Name": told["name"],
        "StartDate": sfn._iso_to_epoch_ms(told["startDate"]),
        "StateMachineArn": told["stateMachineArn"],
        "Status": told["status"],
        "StopDate": sfn._iso_to_epoch_ms(told["stopDate"]),
    }
    if told["status"] != "SUCCEEDED":
        described |= {"Error": told.get("error"), "Cause": told.get("cause")}
        raise sfn._ExecutionError("States.TaskFailed", json.dumps(described))
    output = json.loads(told["output"]) if resource.endswith(":2") else told["output"]
    return {**described, "Output": output, "OutputDetails": {"included": True}}
