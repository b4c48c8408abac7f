"""Executions that failed, run once more: each in the way that helps.

Step Functions continues an execution with the state that failed. For a workflow that gave its work up that is
a Fail state, which fails again at once; so such an execution is left as it is, and a new one is started with
its input. A workflow of ours gets that without the attempts and the time that were spent on it, and keeps the
key by which whoever it calls knows the work. Its name is the one that the starter gives to the work's dead
letter, so that whoever runs the execution again and sends the letter back has it done once.
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from resilient_runtime.work_envelope import as_text, begun_anew, wrapped

from .breaker import asked
from .errors import OperateError

__all__ = [
    "TAKES_ENVELOPES",
    "Found",
    "Way",
    "failed_since",
    "look",
    "parse_since",
    "run_again",
    "user_agent",
]

TAKES_ENVELOPES = ".resilient.claim"
"""Stands in each definition of ours, which takes an envelope off its input; others take it for input."""

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_FAILED = ("FAILED", "TIMED_OUT")
_BATCH_IS_DONE = frozenset(
    {"Resilient.ManifestNotStored", "Resilient.NotCounted", "Resilient.TooManyItemsFailed"}
)


class Way(StrEnum):
    """How an execution is run once more."""

    REDRIVE = "redrive"
    """It continues with the state that failed."""

    ANEW = "new execution"
    """It gave up, in a Fail state; another one begins with its input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One execution, and what can be done about it.

    :param arn: the execution's
    :param status: FAILED, TIMED_OUT, …; empty where nobody could tell
    :param error: what it failed with
    :param way: how it is run once more; None when it cannot be
    :param why: why it cannot be
    :param machine: the state machine, its version or its alias
    :param name: the new execution's name, where one is to be started
    :param input: its input
    """

    arn: str
    status: str = ""
    error: str = ""
    way: Way | None = None
    why: str = ""
    machine: str = ""
    name: str = ""
    input: str = field(default="", repr=False)


def look(arns: Iterable[str], client: Any) -> list[Found]:
    """What can be done about each execution; changes nothing.

    :param client: boto3's for Step Functions
    """
    ours: dict[str, bool] = {}
    return [_look(arn, client, ours) for arn in dict.fromkeys(arns)]


def failed_since(machine: str, since: float, client: Any) -> list[str]:
    """The ARNs of all executions of a state machine that failed or timed out since then, the oldest first.

    Whoever aborted one wanted it to end: those have to be named.

    :param machine: the state machine's ARN, or a version's or alias's
    :param since: seconds since 1970
    :raises OperateError: when AWS refuses
    """
    pages = client.get_paginator("list_executions")
    found = asked(
        lambda: [
            (one["stopDate"].timestamp(), str(one["executionArn"]))
            for status in _FAILED
            for page in pages.paginate(stateMachineArn=machine, statusFilter=status)
            for one in page["executions"]
            if one["stopDate"].timestamp() >= since
        ]
    )
    return [arn for _, arn in sorted(found)]


def run_again(
    found: Sequence[Found], client: Any, *, per_second: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[Found, str]]:
    """Run each once more, and tell of each as it is done: nothing, or why it was not.

    :param per_second: how many a second: what failed together must not come back together
    """
    later = False
    for one in found:
        if one.way is None:
            yield one, one.why
            continue
        if later:
            sleep(1 / per_second)
        later = True
        yield one, _run_again(one, client)


def parse_since(text: str, *, now: float) -> float:
    """Seconds since 1970 of ``2h``, ``30m``, ``7d``, or of a moment such as ``2026-11-21T09:00Z``.

    :raises OperateError: when it is neither, or is still to come
    """
    short = re.fullmatch(r"(\d+)([mhd])", text)
    if short is not None:
        since = now - int(short[1]) * _UNITS[short[2]]
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise OperateError(
                f"--failed-since is {text!r}; allowed: 30m, 2h, 7d, or a moment such as 2026-11-21T09:00Z"
            ) from error
        since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if since > now:
        raise OperateError(f"--failed-since is {text!r}, which is still to come")
    return since


def user_agent(reason: str) -> str:
    """The reason as CloudTrail keeps it: with each call, in the event's ``userAgent``.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    """
    return f"resilient-redrive/{re.sub('[^0-9A-Za-z.,_-]+', '-', reason.strip())[:120].strip('-')}"


def _look(arn: str, client: Any, ours: dict[str, bool]) -> Found:
    parts = arn.split(":")
    kind = parts[5] if len(parts) >= 8 and parts[2] == "states" else ""
    if kind == "express":
        return Found(
            arn=arn,
            why="an express execution cannot be redriven, and AWS keeps no input of it: send the input in"
            " its dead letter once more",
        )
    if kind != "execution":
        return Found(arn=arn, why="this is no execution's ARN (arn:aws:states:…:execution:MACHINE:NAME)")
    try:
        return _seen(arn, asked(lambda: client.describe_execution(executionArn=arn)), client, ours)
    except OperateError as error:
        return Found(arn=arn, why=str(error))


def _seen(arn: str, told: dict[str, Any], client: Any, ours: dict[str, bool]) -> Found:
    status, error = str(told["status"]), str(told.get("error") or "")
    if status in ("SUCCEEDED", "RUNNING", "PENDING_REDRIVE"):
        return Found(arn=arn, status=status, error=error, why=f"it is {status}")
    if status == "FAILED" and ("/" in arn or error in _BATCH_IS_DONE):
        # An item has no state machine of its own to be started with, and a batch would do all items again.
        why = "its items are done or dead letters: move those to the batch's work queue instead"
        return Found(arn=arn, status=status, error=error, why=why)
    if status == "FAILED" and _ended_in_fail_state(arn, client):
        if told.get("input") is None:
            return Found(arn=arn, status=status, error=error, why="AWS does not give its input any more")
        work = begun_anew(str(told["name"]), json.loads(told["input"]))
        return Found(
            arn=arn,
            status=status,
            error=error,
            way=Way.ANEW,
            machine=_machine_of(told),
            name=work.name,
            input=as_text(wrapped(work)) if _is_ours(told, client, ours) else str(told["input"]),
        )
    if told.get("redriveStatus") not in (None, "REDRIVABLE"):
        return Found(
            arn=arn, status=status, error=error, why=str(told.get("redriveStatusReason") or "no reason")
        )
    return Found(arn=arn, status=status, error=error, way=Way.REDRIVE)


def _ended_in_fail_state(arn: str, client: Any) -> bool:
    # The last two events: FailStateEntered, ExecutionFailed.
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
    history = asked(
        lambda: client.get_execution_history(
            executionArn=arn, reverseOrder=True, maxResults=2, includeExecutionData=False
        )
    )
    return any(event["type"] == "FailStateEntered" for event in history["events"])


def _machine_of(told: dict[str, Any]) -> str:
    # An alias first: a new execution may well run the version that mended what failed.
    return str(told.get("stateMachineAliasArn") or told["stateMachineArn"])


def _is_ours(told: dict[str, Any], client: Any, known: dict[str, bool]) -> bool:
    """Whether it is a breaker workflow or parallel work; AWS is asked once for each state machine.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeStateMachine.html
    """
    machine = str(told["stateMachineArn"])
    if machine not in known:
        described = asked(lambda: client.describe_state_machine(stateMachineArn=machine))
        known[machine] = TAKES_ENVELOPES in described["definition"]
    return known[machine]


def _run_again(one: Found, client: Any) -> str:
    try:
        if one.way is Way.REDRIVE:
            asked(lambda: client.redrive_execution(executionArn=one.arn))
        else:
            asked(lambda: client.start_execution(stateMachineArn=one.machine, name=one.name, input=one.input))
    except OperateError as error:
        if "ExecutionAlreadyExists" in str(error):
            return f"it was started once more already, as {one.name}"
        return str(error)
    return ""
