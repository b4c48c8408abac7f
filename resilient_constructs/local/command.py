"""``resilient local up`` and ``resilient local down``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from . import daemon
from .errors import LocalAwsError

__all__ = ["local"]

_T = TypeVar("_T")

local = typer.Typer(name="local", help="A local AWS that stays until it is stopped.", no_args_is_help=True)


@local.command()
def up(
    port: Annotated[
        int, typer.Option(help="Where it listens, on the loopback interface.")
    ] = daemon.DEFAULT_PORT,
    *,
    auth: Annotated[bool, typer.Option(help="Enforce IAM: a missing grant is an AccessDenied.")] = True,
) -> None:
    """Start the local AWS, and say how to point tools at it."""
    found = _told(lambda: daemon.up(port=port, auth=auth))
    typer.echo(
        f"# the local AWS {'runs' if found.fresh else 'ran already'} (process {found.pid}); to use it:"
    )
    environment = found.aws.environment()
    for name in sorted(name for name in environment if name.startswith("AWS_")):
        typer.echo(f"export {name}={environment[name]}")


@local.command()
def down() -> None:
    """Stop the local AWS; everything in it is gone."""
    stopped = _told(daemon.down)
    typer.echo("the local AWS was stopped" if stopped else "no local AWS was running")


def _told(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except LocalAwsError as error:
        typer.echo(f"resilient: {error}", err=True)
        raise typer.Exit(2) from error
