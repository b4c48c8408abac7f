"""``resilient poison list | show | replay | discard | free``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from rich.console import Console

from . import poison_words as words
from .errors import OperateError
from .parked import Parked, ParkedTables, find_table
from .poison import PoisonStore, QueuedPoison, find_queue
from .poison_entries import Entry, by_key, chosen, in_order
from .removal import Removal
from .replay import SEEN, ToHandler, ToStream, replay

__all__ = ["poison"]

_LONGEST_INVOCATION = 15 * 60 + 10
"""Seconds: as long as a function may take, and its answer.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
_ON_ITS_WAY = 60
"""Seconds: a key is parked before its record is kept, which may be tried a few times."""

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


class _Opened(NamedTuple):
    store: PoisonStore
    entries: list[Entry]
    keys: ParkedTables
    removal: Removal


@poison.command(name="list")
def list_(
    key: _Key = None,
    queue: _Queue = None,
    *,
    table: Annotated[
        str | None,
        typer.Option("--table", help="The table of parked keys. Default: those that the records name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per line.")] = False,
) -> None:
    """Show what is in the store, in the order in which it would be replayed."""
    with _opened(queue) as (store, entries, keys, _):
        found = chosen(entries, (), key)
    if as_json:
        for entry in found:
            shown = {name: value for name, value in entry.told.items() if name not in ("record", "stack")}
            more = {"unreadable": entry.unreadable} if entry.unreadable else {}
            typer.echo(json.dumps({"id": entry.id, **shown, **more}))
    elif found:
        Console().print(words.rows(found))
    elif not store.hidden:
        typer.echo("the poison store is empty")
    if store.hidden:
        _note(words.hidden(store.hidden, time.time()))
    else:
        _tell_of_stuck(keys, entries, table, key)


@poison.command()
def show(ids: Annotated[list[str], typer.Argument(metavar="ID...")], queue: _Queue = None) -> None:
    """Show records whole, with their error and stack, as JSON."""
    with _opened(queue) as (store, entries, *_):
        if store.hidden:
            _note(words.hidden(store.hidden, time.time()))
        for entry in chosen(entries, ids, None):
            more = {"unreadable": entry.unreadable} if entry.unreadable else {}
            typer.echo(json.dumps({"id": entry.id, **entry.told, **more}, indent=2))


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
    with _opened(queue) as (store, entries, keys, removal):
        wanted = chosen(entries, ids or (), key)
        _check_whole(store, keys, wanted)
        in_order(wanted, entries)
        target = (
            ToHandler(client=_connect("lambda"), function=function or "")
            if function
            else ToStream(client=_connect("kinesis"), keys=keys)
        )
        done = problems = 0
        for one in replay(store, removal, wanted, target):
            done += not one.problem
            if one.problem:
                problems += 1
                _note(f"{one.entry.id} stays: {one.problem}")
        typer.echo(f"{done} replayed, {problems} stay in the store")
        problems += _tell_of_waiting(removal)
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
    _check_reason(reason)
    problems = 0
    with _opened(queue) as (store, entries, keys, removal):
        wanted = chosen(entries, ids or (), key)
        _check_whole(store, keys, wanted)
        for _, of_key in by_key(wanted):
            lost = {id(entry) for entry in store.hold(of_key)}
            faults = {id(one): SEEN if id(one) in lost else one.unreadable for one in of_key}
            whole = [entry for entry in of_key if not faults[id(entry)]]
            for entry in whole:
                # Before it is removed: after that this line is all that is left of it.
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                typer.echo(json.dumps({"discarded_at": at, "discarded_because": reason, **entry.told}))
            kept = removal.remove(whole) if whole else ""
            for entry in of_key:
                if removal.is_left(entry):
                    problems += 1
                    _note(f"{entry.id} stays: {faults[id(entry)] or kept}")
        problems += _tell_of_waiting(removal)
    if problems:
        raise typer.Exit(1)


@poison.command()
def free(
    key: Annotated[str, typer.Option("--key", help="The partition key that is parked.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is printed with what is done.")],
    table: Annotated[
        str | None, typer.Option("--table", help="The table of parked keys. Default: the only one there is.")
    ] = None,
    queue: _Queue = None,
) -> None:
    """Let a parked key go on of which nothing is left in the store, such as when SQS has deleted it."""
    _check_reason(reason)
    try:
        found = find_table(table, _connect)
        keys = ParkedTables(_connect)
        # Before the store is read: what is noted as kept by then has arrived when it is.
        parked = keys.keys(found).get(key)
    except OperateError as error:
        _fail(str(error))
    if parked is None:
        _fail(f"key {key!r} is not parked in {found}; `resilient poison list --table {found}` shows what is")
    with _opened(queue) as (store, entries, _, _):
        if store.hidden:
            raise OperateError(f"nothing was done: {words.hidden(store.hidden, time.time())}")
        if ids := [entry.id for entry in entries if parked.holds(entry)]:
            raise OperateError(
                f"nothing was done: of key {key!r} the store has {', '.join(ids)}. Replay or discard them:"
                " with the last one the key goes on"
            )
        if _is_young(parked):
            raise OperateError(f"nothing was done: key {key!r} was parked just now. Try again in a minute")
        if not keys.free(parked, up_to=parked.last):
            raise OperateError(f"nothing was done: a record of key {key!r} was kept just now")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    typer.echo(f"key {key!r} goes on: its next records are handled again (freed at {at}, because: {reason})")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        _fail("--reason is empty: whoever misses a record asks for it first")


def _check_whole(store: PoisonStore, keys: ParkedTables, wanted: Sequence[Entry]) -> None:
    """Nothing is done with a part of what there is, or without knowing which keys wait."""
    if store.hidden:
        raise OperateError(
            f"nothing was done: {words.hidden(store.hidden, time.time())} Without them, records of a key"
            " could be done before their earlier ones. Run the same command again then"
        )
    for table in sorted({entry.parked_table for entry in wanted if entry.parked_table}):
        keys.keys(table)


def _tell_of_waiting(removal: Removal) -> int:
    for parked in removal.waiting:
        _note(words.waiting(parked))
    return len(removal.waiting)


def _tell_of_stuck(keys: ParkedTables, entries: Sequence[Entry], table: str | None, key: str | None) -> None:
    named = {entry.parked_table for entry in entries if entry.parked_table} | ({table} if table else set())
    for name in sorted(named):
        try:
            parked = keys.keys(name)
        except OperateError as error:
            _note(f"which keys are parked is not known: {error}")
            continue
        for one in parked.values():
            known = any(one.holds(entry) for entry in entries)
            if not known and not _is_young(one) and key in (None, one.key):
                _note(words.stuck(one))


def _is_young(parked: Parked) -> bool:
    return time.time() - parked.since < _ON_ITS_WAY


@contextmanager
def _opened(queue: str | None) -> Iterator[_Opened]:
    """The store with all that is in it; what is not removed is put back."""
    try:
        store = QueuedPoison(find_queue(queue, _connect), _connect)
        entries = store.take()
        keys = ParkedTables(_connect)
        removal = Removal(store, entries, keys, typer.echo)
        try:
            yield _Opened(store, entries, keys, removal)
        finally:
            store.release(removal.left())
    except OperateError as error:
        _fail(str(error))


def _connect(service: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Callable[..., Any] = boto3.client
    if service != "lambda":
        return make(service)
    # boto3 waits for a minute, and then invokes the function again while the first invocation is at it.
    patient = Config(read_timeout=_LONGEST_INVOCATION, tcp_keepalive=True, retries={"total_max_attempts": 1})
    return make(service, config=patient)


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _fail(text: str) -> NoReturn:
    typer.echo(f"resilient: {text}", err=True)
    raise typer.Exit(2)
