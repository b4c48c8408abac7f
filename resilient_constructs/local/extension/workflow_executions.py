"""An execution's name, its life, and what is told of it.

AWS: a standard workflow's execution has a name of its own; the same name and input while it runs is the same
execution. TimeoutSeconds of the state machine ends it as TIMED_OUT. RedriveExecution continues one that did
not succeed with the state that failed; a Fail state is entered again and fails again. What a state gives on
is 256 KiB at most. Express executions may share a name and tell EventBridge nothing.
ministack 1.5.33: refuses the same name always, in express workflows too; knows no timeout of a state machine,
no redrive, and no limit of size.
Here: all of that, but a Parallel or an inline Map is redriven with all of its branches. An express execution
can be described, and its ARN is as a standard one's.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from ministack.core.responses import error_response_json, json_response, now_iso
from ministack.services import eventbridge
from ministack.services import stepfunctions as sfn

from .workflow_running import run_of
from .workflow_walk import MOST_BYTES, walk

__all__ = ["close"]

_REDRIVABLE = timedelta(days=14)
_BAD_NAME = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]')
# What EventBridge has room for, in the escaped form.
# https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
_MOST_TOLD = 248 * 1024

_logger = logging.getLogger("states")
_Answer = tuple[int, dict[str, str], bytes]


def close() -> None:
    """Put it in place."""
    start, stop, describe, handle = (
        sfn._start_execution,
        sfn._stop_execution,
        sfn._describe_execution,
        sfn.handle_request,
    )

    def started(data: dict[str, Any]) -> _Answer:
        refused = _refusal(data)
        if refused is not None:
            return refused
        machine = _machine(str(data.get("stateMachineArn", "")).partition("#")[0])
        if machine is None or not data.get("name"):
            return _typed(start(data))
        arn = f"{machine['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{data['name']}"
        known = sfn._executions.get(arn)
        if known is None:
            return _typed(start(data))
        if machine["type"] == "EXPRESS":
            return _typed(start({**data, "name": f"{data['name']}:{uuid4()}"}))
        if known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
            return _typed(json_response({"executionArn": arn, "startDate": known["startDate"]}))
        return _typed(start(data))

    def stopped(data: dict[str, Any]) -> _Answer:
        answer = _typed(stop(data))
        run = run_of(str(data.get("executionArn")))
        if run is not None and run.execution["status"] != "RUNNING":
            run.over.set()
        return answer

    def described(data: dict[str, Any]) -> _Answer:
        status, headers, body = _typed(describe(data))
        execution = sfn._executions.get(data.get("executionArn"))
        if status >= 400 or execution is None:
            return status, headers, body
        return _typed(json_response({**json.loads(body), **_redrive_facts(execution)}))

    async def handled(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            return sfn._finalize_response(_redrive(json.loads(body or b"{}")))
        return await handle(method, path, headers, body, query)

    sfn._start_execution = started
    sfn._stop_execution = stopped
    sfn._describe_execution = described
    sfn.handle_request = handled
    sfn._run_execution = walk
    sfn._emit_execution_status_event = _tell


def _typed(answer: Any) -> _Answer:
    status, headers, body = answer
    return int(status), dict(headers), bytes(body)


def _machine(arn: str) -> dict[str, Any] | None:
    base = sfn._resolve_state_machine_arn(arn)
    return None if base is None else dict(sfn._state_machines[base])


def _refusal(data: dict[str, Any]) -> _Answer | None:
    """What AWS refuses before it looks for the state machine."""
    name, text = data.get("name"), str(data.get("input", "{}"))
    if name is not None and (_BAD_NAME.search(str(name)) or not 0 < len(str(name)) <= 80):
        return _typed(error_response_json("InvalidName", f"Invalid Name: '{name}'", 400))
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        return _typed(
            error_response_json(
                "ValidationException",
                "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must "
                f"have length less than or equal to {MOST_BYTES}",
                400,
            )
        )
    try:
        json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        return _typed(
            error_response_json(
                "InvalidExecutionInput", f"Invalid State Machine Execution Input: {error}", 400
            )
        )
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _redrive(data: dict[str, Any]) -> _Answer:
    arn = str(data.get("executionArn"))
    execution = sfn._executions.get(arn)
    if execution is None:
        return _typed(error_response_json("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'", 400))
    facts = _redrive_facts(execution)
    if facts["redriveStatus"] != "REDRIVABLE":
        return _typed(error_response_json("ExecutionNotRedrivable", facts["redriveStatusReason"], 400))
    at = now_iso()
    execution.update(
        status="RUNNING",
        stopDate=None,
        output=None,
        error=None,
        cause=None,
        redriveCount=execution.get("redriveCount", 0) + 1,
        redriveDate=at,
    )
    sfn._add_event(
        execution,
        "ExecutionRedriven",
        {"executionRedrivenEventDetails": {"redriveCount": execution["redriveCount"]}},
    )
    _tell(execution)
    threading.Thread(target=contextvars.copy_context().run, args=(walk, arn), daemon=True).start()
    return _typed(json_response({"redriveDate": at}))


def _redrive_facts(execution: dict[str, Any]) -> dict[str, Any]:
    reason = _not_redrivable(execution)
    facts: dict[str, Any] = {
        "redriveCount": execution.get("redriveCount", 0),
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
    }
    if execution.get("redriveDate"):
        facts["redriveDate"] = execution["redriveDate"]
    if reason is not None:
        facts["redriveStatusReason"] = reason
    return facts


def _not_redrivable(execution: dict[str, Any]) -> str | None:
    machine = sfn._state_machines.get(execution["stateMachineArn"])
    if machine is not None and machine["type"] == "EXPRESS":
        return "Executions of EXPRESS state machines cannot be redriven"
    if execution["status"] in ("RUNNING", "SUCCEEDED"):
        return f"Execution is {execution['status']} and cannot be redriven"
    if datetime.now(UTC) - datetime.fromisoformat(execution["stopDate"].replace("Z", "+00:00")) > _REDRIVABLE:
        return "Execution has exceeded the redrivable period of 14 days"
    return None


def _tell(execution: dict[str, Any]) -> None:
    """Send "Step Functions Execution Status Change" to the default bus."""
    machine = sfn._state_machines.get(execution["stateMachineArn"]) or {}
    if execution.get("sync") or machine.get("type") == "EXPRESS":
        return
    facts = _redrive_facts(execution)
    detail: dict[str, Any] = {
        name: execution.get(name)
        for name in ("executionArn", "stateMachineArn", "name", "status", "input", "error", "cause")
    }
    detail |= {
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "output": execution.get("output") if execution["status"] == "SUCCEEDED" else None,
        "redriveCount": facts["redriveCount"],
        "redriveStatus": facts["redriveStatus"],
        "redriveStatusReason": facts.get("redriveStatusReason"),
    }
    for name in ("startDate", "stopDate", "redriveDate"):
        detail[name] = sfn._iso_to_epoch_ms(execution.get(name))
    for name in ("input", "output"):
        told = detail[name] is not None and len(json.dumps(detail[name])) <= _MOST_TOLD
        detail[f"{name}Details"] = None if detail[name] is None else {"included": told}
        detail[name] = detail[name] if told else None
    entry = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Detail": json.dumps(detail),
        "Resources": [execution["executionArn"]],
    }
    try:
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    except Exception:
        _logger.exception("an execution's status could not be told")
