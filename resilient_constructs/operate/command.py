"""``resilient breaker status | open | close | disable``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from rich.console import Console
from rich.table import Table

from . import breaker as circuits
from .errors import OperateError

__all__ = ["breaker"]

_T = TypeVar("_T")
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The downstream, as it was declared.")]
_Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept, logged and told.")]
_TableName = Annotated[
    str | None, typer.Option("--table", help="The table of circuits. Default: the only one there is.")
]

breaker = typer.Typer(
    name="breaker", help="A downstream's circuit, looked at and changed by hand.", no_args_is_help=True
)


@breaker.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: all of them.")] = None,
    table: _TableName = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per line.")] = False,
) -> None:
    """Show circuits: state, since when, why and by whom."""
    found = _told(lambda: circuits.look(circuits.find_table(table, _connect), name))
    if as_json:
        for one in found:
            typer.echo(json.dumps({"name": one.name, **_facts(one.circuit)}))
        return
    if not found:
        typer.echo("no circuit has done anything yet: all are closed")
        return
    rows = Table("circuit", "state", "since", "next probe", "reason", "by")
    for one in found:
        facts = _facts(one.circuit)
        rows.add_row(
            one.name, *(str(facts[key] or "") for key in ("state", "since", "retry_at", "reason", "by"))
        )
    Console().print(rows)


@breaker.command(name="open")
def open_(name: _Name, reason: _Reason, table: _TableName = None) -> None:
    """Force a circuit open: no call passes, and its consumers are paused until it is closed by hand."""
    _order("open", name, reason, table)


@breaker.command()
def close(name: _Name, reason: _Reason, table: _TableName = None) -> None:
    """Close a circuit, whatever opened it: calls pass, and its consumers run at full concurrency again."""
    _order("close", name, reason, table)


@breaker.command()
def disable(name: _Name, reason: _Reason, table: _TableName = None) -> None:
    """Let every call pass and count none, until the circuit is closed by hand."""
    _order("disable", name, reason, table)


def _order(wanted: str, name: str, reason: str, table: str | None) -> None:
    state = circuits.ORDERS[wanted]
    found = _told(lambda: circuits.find_table(table, _connect))
    if not reason.strip():
        _fail("--reason is empty: whoever reads the audit asks for it first")
    before = _told(lambda: circuits.look(found, name))[0].circuit
    after = _told(lambda: circuits.change(found, name, state, reason=reason, now=time.time()))
    if after.version == before.version:
        typer.echo(f"{name} was {before.state} already: {before.reason or 'no reason'}")
    else:
        typer.echo(f"{name}: {before.state} → {after.state} (version {after.version}, by {after.by})")
    if before == Circuit() and state is not CircuitState.CLOSED:
        typer.echo(f"note: no circuit named {name!r} had ever changed; `resilient breaker status` lists them")


def _facts(circuit: Circuit) -> dict[str, Any]:
    return {
        "state": str(circuit.state),
        "since": _moment(circuit.changed_at),
        "retry_at": _moment(circuit.retry_at),
        "openings": circuit.openings,
        "version": circuit.version,
        "reason": circuit.reason,
        "by": circuit.by,
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _connect(service: str) -> Any:
    import boto3

    make: Callable[..., Any] = boto3.client
    return make(service)


def _told(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except OperateError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"resilient: {text}", err=True)
    raise typer.Exit(2)
