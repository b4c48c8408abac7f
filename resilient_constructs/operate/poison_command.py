"""``resilient poison list | show | replay | discard``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer
from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys
from rich.console import Console
from rich.table import Table

from .errors import OperateError
from .poison import Entry, PoisonStore, QueuedPoison, chosen, find_queue
from .replay import Replayed, ToHandler, ToStream, replay

__all__ = ["poison"]

_LONGEST_INVOCATION = 15 * 60 + 10
"""Seconds: as long as a function may take, and its answer.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

_Queue = Annotated[
    str | None,
    typer.Option("--queue", help="The poison queue's name or URL. Default: the only one there is."),
]
_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `list` shows them.")]
_Key = Annotated[str | None, typer.Option("--key", help="Only records of this partition key.")]

poison = typer.Typer(
    name="poison",
    help="Records of a stream that failed: looked at, done again, given up.",
    no_args_is_help=True,
)


class Destination(StrEnum):
    """Where records are done again."""

    STREAM = "stream"
    HANDLER = "handler"


@poison.command(name="list")
def list_(
    key: _Key = None,
    queue: _Queue = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per line.")] = False,
) -> None:
    """Show what is in the store, in the order in which it would be replayed."""
    with _opened(queue) as (_, entries):
        found = chosen(entries, (), key)
    if as_json:
        for entry in found:
            shown = {name: value for name, value in entry.told.items() if name not in ("record", "stack")}
            typer.echo(json.dumps({"id": entry.id, **shown}))
        return
    if not found:
        typer.echo("the poison store is empty")
        return
    rows = Table("id", "kind", "key", "stored", "reason", "error")
    for entry in found:
        told = entry.told
        rows.add_row(
            entry.id,
            str(told["kind"]),
            entry.key,
            str(told.get("stored_at", "")),
            str(told.get("reason", "")),
            str(told.get("error") or ""),
        )
    Console().print(rows)


@poison.command()
def show(ids: Annotated[list[str], typer.Argument(metavar="ID...")], queue: _Queue = None) -> None:
    """Show records whole, with their error and stack, as JSON."""
    with _opened(queue) as (_, entries):
        for entry in _found(lambda: chosen(entries, ids, None)):
            typer.echo(json.dumps({"id": entry.id, **entry.told}, indent=2))


@poison.command(name="replay")
def replay_(
    ids: _Ids = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All there is.")] = False,
    key: _Key = None,
    to: Annotated[Destination, typer.Option("--to", help="Behind what is in the stream, or at once.")],
    function: Annotated[str | None, typer.Option("--function", help="The handler's function.")] = None,
    queue: _Queue = None,
) -> None:
    """Do records again, those of one key in their order; what is not taken stays in the store."""
    if not (ids or key or everything):
        _fail("which records? Give their ids, --key or --all")
    if to is Destination.HANDLER and not function:
        _fail("--to handler needs --function: the name of the function that handles the stream's records")
    if to is Destination.STREAM and function:
        _fail("--function is for --to handler: the stream calls the function that is mapped to it")
    with _opened(queue) as (store, entries):
        wanted = _found(lambda: chosen(entries, ids or (), key))
        target = (
            ToHandler(client=_connect("lambda"), function=function or "")
            if function
            else ToStream(client=_connect("kinesis"))
        )
        results = replay(store, wanted, target)
        problems = _report(results)
        problems += _free_keys(entries, results)
    if problems:
        raise typer.Exit(1)


@poison.command()
def discard(
    ids: _Ids = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All there is.")] = False,
    key: _Key = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is printed with each record.")],
    queue: _Queue = None,
) -> None:
    """Give records up for good. Each is printed whole, one JSON object per line: keep the output."""
    if not (ids or key or everything):
        _fail("which records? Give their ids, --key or --all")
    if not reason.strip():
        _fail("--reason is empty: whoever misses a record asks for it first")
    with _opened(queue) as (store, entries):
        wanted = _found(lambda: chosen(entries, ids or (), key))
        for entry in wanted:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            # Before it is removed: after that this line is all that is left of it.
            typer.echo(json.dumps({"discarded_at": at, "discarded_because": reason, **entry.told}))
            store.remove(entry)
        if _free_keys(entries, [Replayed(entry=entry) for entry in wanted]):
            raise typer.Exit(1)


def _free_keys(entries: Sequence[Entry], results: Sequence[Replayed]) -> int:
    """Let keys go on of which nothing is left in the store; how many could not be."""
    done = {id(one.entry) for one in results if not one.problem}
    staying = {_whose(entry) for entry in entries if id(entry) not in done}
    last = {
        (str(one.entry.told["parked_table"]), one.entry.key): one.entry
        for one in results
        if one.entry.told.get("parked_table") and _whose(one.entry) not in staying
    }
    problems = 0
    for (table, key), entry in last.items():
        keys = DynamoDBParkedKeys(table, connect=lambda: _connect("dynamodb"))
        try:
            keys.remove(key, replayed_to=str(entry.told["sequence_number"]))
            typer.echo(f"key {key!r} goes on: its next records are handled again")
        except Exception as error:  # noqa: BLE001  told, and done again with the next replay
            problems += 1
            typer.echo(
                f"key {key!r} stays parked: another record was kept behind it meanwhile, or {table} cannot be"
                f" written ({type(error).__name__}). Run the same command again",
                err=True,
            )
    return problems


def _whose(entry: Entry) -> tuple[str, str]:
    return str(entry.told["stream"]), entry.key


def _report(results: Sequence[Replayed]) -> int:
    problems = [one for one in results if one.problem]
    for one in problems:
        typer.echo(f"{one.entry.id} stays: {one.problem}", err=True)
    typer.echo(f"{len(results) - len(problems)} replayed, {len(problems)} stay in the store")
    return len(problems)


@contextmanager
def _opened(queue: str | None) -> Iterator[tuple[PoisonStore, list[Entry]]]:
    """The store with all that is in it; what is not removed is put back."""
    try:
        store = _Removing(QueuedPoison(find_queue(queue, _connect), _connect))
        entries = store.take()
    except OperateError as error:
        _fail(str(error))
    try:
        yield store, entries
    finally:
        store.release(entry for entry in entries if id(entry) not in store.removed)


class _Removing:
    """A store that knows what was removed from it."""

    def __init__(self, store: PoisonStore) -> None:
        self._store = store
        self.removed: set[int] = set()

    def take(self) -> list[Entry]:
        return self._store.take()

    def release(self, entries: Any) -> None:
        self._store.release(entries)

    def remove(self, entry: Entry) -> None:
        self._store.remove(entry)
        self.removed.add(id(entry))


def _connect(service: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Callable[..., Any] = boto3.client
    if service != "lambda":
        return make(service)
    # boto3 waits for a minute, and then invokes the function again while the first invocation is at it.
    patient = Config(read_timeout=_LONGEST_INVOCATION, tcp_keepalive=True, retries={"total_max_attempts": 1})
    return make(service, config=patient)


def _found(find: Callable[[], list[Entry]]) -> list[Entry]:
    try:
        return find()
    except OperateError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"resilient: {text}", err=True)
    raise typer.Exit(2)
