"""``resilient local up``, ``resilient local deploy`` and ``resilient local down``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from . import daemon
from .deploy import deploy as deploy_app
from .deploy import local_api_url
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
def deploy(
    stacks: Annotated[list[str] | None, typer.Argument(help="Which stacks. Default: all of the app.")] = None,
    *,
    app: Annotated[
        str | None,
        typer.Option(help="The command that synthesizes the CDK app. Default: what cdk.json says."),
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="A CDK context value, name=value.")
    ] = None,
) -> None:
    """Deploy a CDK app to the local AWS, starting one if need be, and say what will not be true locally."""
    command = app or _told(_app_of_this_folder)
    values = _told(lambda: _pairs(context or []))
    found = _told(lambda: daemon.running() or daemon.up())
    done = _told(lambda: deploy_app(found.aws, app=command, stacks=stacks or (), context=values))
    typer.echo(f"deployed to {found.aws.endpoint}: {', '.join(done.templates)}")
    for stack, outputs in done.outputs.items():
        for name, value in outputs.items():
            here = f"  (here: {local_api_url(value, found.aws.endpoint)})" if ".execute-api." in value else ""
            typer.echo(f"{stack}.{name} = {value}{here}")
    if done.fidelity:
        typer.echo("\nnot as on AWS:")
    for difference in done.fidelity:
        typer.echo(f"  - {difference}")


@local.command()
def down() -> None:
    """Stop the local AWS; everything in it is gone."""
    stopped = _told(daemon.down)
    typer.echo("the local AWS was stopped" if stopped else "no local AWS was running")


def _app_of_this_folder() -> str:
    try:
        settings = json.loads(Path("cdk.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LocalAwsError(
            f"there is no cdk.json in {Path.cwd()}; go to the app's folder or give --app"
        ) from None
    except ValueError as error:
        raise LocalAwsError(f"cdk.json is no JSON: {error}") from error
    command = settings.get("app") if isinstance(settings, dict) else None
    if not isinstance(command, str):
        raise LocalAwsError('cdk.json has no "app"; add the command that synthesizes, or give --app')
    return command


def _pairs(given: list[str]) -> dict[str, str]:
    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise LocalAwsError(f"--context takes name=value, not {', '.join(map(repr, wrong))}")
    return dict(one.split("=", 1) for one in given)


def _told(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except LocalAwsError as error:
        typer.echo(f"resilient: {error}", err=True)
        raise typer.Exit(2) from error
