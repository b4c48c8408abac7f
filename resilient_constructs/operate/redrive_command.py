"""``resilient redrive EXECUTION…``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from . import redrive as executions
from .errors import OperateError

__all__ = ["redrive"]

_RATE = 10.0

_LETTERS = "their dead letters are still in the queue: delete the ones whose executions succeed"


def redrive(
    arns: Annotated[
        list[str] | None, typer.Argument(metavar="EXECUTION…", help="ARNs of executions that failed.")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", "-r", help="Why; CloudTrail keeps it with each call, as userAgent.")
    ] = "",
    state_machine: Annotated[
        str | None,
        typer.Option("--state-machine", metavar="ARN", help="All executions of it that failed since then."),
    ] = None,
    failed_since: Annotated[
        str | None,
        typer.Option("--failed-since", metavar="TIME", help="30m, 2h, 7d, or a moment: 2026-11-21T09:00Z."),
    ] = None,
    per_second: Annotated[
        float, typer.Option("--per-second", min=0.01, help="How many are run once more each second.")
    ] = _RATE,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per line.")] = False,
) -> None:
    """Run failed executions of a standard workflow once more.

    One that stopped in the middle continues with the step that failed. One that had given its work up is
    started anew with its input, for it would only fail again.
    """
    _check(arns, reason, state_machine, failed_since, dry_run=dry_run)
    try:
        client = _connect(executions.user_agent(reason))
        wanted = list(arns or ())
        if state_machine is not None and failed_since is not None:
            since = executions.parse_since(failed_since, now=time.time())
            wanted += executions.failed_since(state_machine, since, client)
    except OperateError as error:
        _fail(str(error))
    found = executions.look(wanted, client)
    if not found:
        typer.echo("no execution failed since then")
        return
    if dry_run:
        outcomes = [(one, one.why) for one in found]
        for one, fault in outcomes:
            _tell(one, fault, done=False, as_json=as_json)
    else:
        outcomes = []
        for one, fault in executions.run_again(found, client, per_second=per_second):
            outcomes.append((one, fault))
            _tell(one, fault, done=True, as_json=as_json)
    _sum_up(outcomes, dry_run=dry_run, as_json=as_json)


def _check(
    arns: Sequence[str] | None, reason: str, machine: str | None, since: str | None, *, dry_run: bool
) -> None:
    faults = []
    if not arns and machine is None:
        faults.append("name executions, or all that failed with --state-machine ARN --failed-since TIME")
    if (machine is None) != (since is None):
        faults.append("--state-machine and --failed-since go together")
    if not reason.strip() and not dry_run:
        faults.append("--reason is empty: whoever reads the audit asks for it first")
    if faults:
        _fail("; ".join(faults))


def _tell(one: executions.Found, fault: str, *, done: bool, as_json: bool) -> None:
    if as_json:
        told = {
            "execution": one.arn,
            "status": one.status,
            "error": one.error,
            "way": one.way,
            "new_execution": one.name or None,
            "done": done and not fault,
            "fault": fault or None,
        }
        typer.echo(json.dumps(told))
    elif fault:
        typer.echo(f"not run: {one.arn}: {fault}", err=True)
    else:
        how = f"{one.way} {one.name}".rstrip()
        typer.echo(f"{'run once more' if done else 'would be run'}: {one.arn} ({one.status}): {how}")


def _sum_up(outcomes: Sequence[tuple[executions.Found, str]], *, dry_run: bool, as_json: bool) -> None:
    faults = sum(1 for _, fault in outcomes if fault)
    if not as_json:
        good = len(outcomes) - faults
        typer.echo(
            f"{good} {'would be run' if dry_run else 'run'} once more, {faults} not"
            + (f"; {_LETTERS}" if good and not dry_run else "")
        )
    if faults:
        raise typer.Exit(2)


def _connect(user_agent: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Callable[..., Any] = boto3.client
    # RedriveExecution has a small bucket of its own: with many, some calls are throttled and tried again.
    # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    config = Config(user_agent_extra=user_agent, retries={"mode": "standard", "total_max_attempts": 10})
    return make("stepfunctions", config=config)


def _fail(text: str) -> NoReturn:
    typer.echo(f"resilient: {text}", err=True)
    raise typer.Exit(2)
