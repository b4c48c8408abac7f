"""``resilient archive list | replay``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from . import archive as archives
from .errors import OperateError

__all__ = ["archive"]

_Where = Annotated[str, typer.Argument(metavar="s3://BUCKET/CONSUMER/DAY", help="Or any part of it.")]
_TOLD = ("message_id", "sent_at", "age_seconds", "receive_count", "correlation_id")

archive = typer.Typer(
    name="archive",
    help="Messages that were too old to be done: look at them, send them again.",
    no_args_is_help=True,
)


@archive.command(name="list")
def list_(
    where: _Where,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, whole, one object per line.")] = False,
) -> None:
    """Show what lies in an archive."""
    rows = Table("consumer", *_TOLD)
    count = 0
    try:
        for one in archives.find(archives.parse_place(where), _connect):
            count += 1
            if as_json:
                typer.echo(json.dumps({"key": one.key, **one.document}))
            else:
                document = one.document
                rows.add_row(str(document.get("consumer")), *(str(document.get(name)) for name in _TOLD))
    except OperateError as error:
        _fail(error)
    if not as_json:
        if count:
            Console().print(rows)
        typer.echo(f"{count} messages")


@archive.command()
def replay(
    where: _Where,
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="A queue's URL. Default: the queue that each came from.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave them in the archive, too.")] = False,
) -> None:
    """Send archived messages again, each as a new one with its old ids, and take it out of the archive.

    Stops at the first one that AWS refuses; what is not sent stays where it is.
    """
    sent = 0
    try:
        place = archives.parse_place(where)
        for one in archives.find(place, _connect):
            url = archives.replay(place, one, _connect, to=to, keep=keep)
            sent += 1
            typer.echo(f"{one.document['message_id']} → {url}")
    except OperateError as error:
        typer.echo(f"{sent} messages sent")
        _fail(error)
    typer.echo(f"{sent} messages sent")


def _connect(service: str) -> Any:
    import boto3

    make: Callable[..., Any] = boto3.client
    return make(service)


def _fail(error: OperateError) -> None:
    typer.echo(f"resilient: {error}", err=True)
    raise typer.Exit(2)
