"""``resilient soak``: options in, exit code out; whatever ends it early is told in one line."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from .errors import SoakError
from .options import installed, orders_from
from .orders import Orders
from .run import soak as run_soak
from .screen import Screen
from .story import Story

__all__ = ["soak"]

_NOT_CLEAN = 1
_USAGE = 2
_CANNOT_GO_ON = 3


class _Stopped(BaseException):
    def __init__(self, number: int) -> None:
        self.number = number


def soak(
    handler: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", show_default=False)],
    event: Annotated[
        Path | None, typer.Option(help="A file with the event, in JSON. Default: {}", show_default=False)
    ] = None,
    invocations: Annotated[int, typer.Option("--invocations", "-n", help="How often it is invoked.")] = 2000,
    path: Annotated[Path, typer.Option(help="The folder with the handler's module.")] = Path(),
    memory: Annotated[int, typer.Option(help="MB of memory.")] = 128,
    tmp: Annotated[int, typer.Option(help="MB of /tmp. Lambda offers 512 to 10,240.")] = 512,
    descriptors: Annotated[int, typer.Option(help="Open file descriptors. Lambda allows 1,024.")] = 1024,
    timeout: Annotated[int, typer.Option(help="Seconds for one invocation.")] = 3,
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(help="Installed for the run, as for a deployment package.", show_default=False),
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, rie (AWS's emulator) or plain (a subprocess).")] = "auto",
    wrapped: Annotated[
        bool, typer.Option("--wrapped/--bare", help="Run it under resilient_runtime, with all its cures.")
    ] = False,
    mode: Annotated[
        str, typer.Option(help="event, or messages: the handler takes (body, call); --event is one body.")
    ] = "event",
    report: Annotated[
        Path | None, typer.Option(help="Where to write the HTML report.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Invoke a handler warm, thousands of times, under Lambda's limits: does it leak, and when will it fail?

    Exit code 0: it is clean. 1: it leaks or failed. 2: a wrong option. 3: it could not go on.
    """
    console = Console(stderr=as_json, highlight=False)
    previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ExitStack() as stack:
            orders = orders_from(
                handler,
                event=event,
                path=path,
                env=env or [],
                engine=engine,
                wrapped=wrapped,
                mode=mode,
                numbers={
                    "invocations": invocations,
                    "memory": memory,
                    "tmp": tmp,
                    "descriptors": descriptors,
                    "timeout": timeout,
                },
            )
            _check_report(report)
            orders = replace(orders, python_path=installed(requirements, stack))
            story = _run(orders, console)
            if report is not None:
                from .report import write_report

                write_report(story, report)
                console.print(f"report: {report}", soft_wrap=True)
    except _Stopped as stopped:
        _fail(f"stopped by {signal.Signals(stopped.number).name}; no process is left", 128 + stopped.number)
    except ValueError as error:
        _fail(str(error), _USAGE)
    except (SoakError, OSError) as error:
        _fail(str(error), _CANNOT_GO_ON)
    finally:
        for number, former in previous.items():
            signal.signal(number, former)
    if as_json:
        typer.echo(json.dumps(story.to_json()))
    raise typer.Exit(0 if story.clean else _NOT_CLEAN)


def _check_report(report: Path | None) -> None:
    # before the run: minutes later its story would be lost
    if report is None:
        return
    there = next(each for each in (report, *report.absolute().parents) if each.exists())
    right_kind = report.is_file() if report.exists() else there.is_dir()
    if not right_kind or not os.access(there, os.W_OK):
        raise ValueError(f"the report cannot be written to {report}; give --report a file that can be")


def _run(orders: Orders, console: Console) -> Story:
    with Screen(console, orders.limits) as screen:
        story = run_soak(orders, screen.show)
        screen.tell(story)
        return story


def _stop(number: int, _: FrameType | None) -> None:
    # Once: a second Ctrl-C must not break the tidying up that the first one began.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped(number)


def _fail(text: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False).print(
        text if text.startswith("resilient soak") else f"resilient soak: {text}",
        style="red",
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit(code)
