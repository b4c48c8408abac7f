"""``resilient demo``: options in, exit code out; whatever ends it early is told in one line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from resilient_constructs.local import LocalAwsError

from .errors import DemoError, Interrupted
from .profile import ProfileError
from .report import write_report
from .run import Demo, Wishes
from .screen import Screen
from .story import Story

__all__ = ["demo"]

_NOT_BALANCED = 1
_USAGE = 2
_CANNOT_GO_ON = 3
_WHERE = "\nRun it in a clone of the repository, where examples/ is, or give --profile and --app."


def demo(
    profile: Annotated[
        Path, typer.Option(help="Traffic to drive, in Artillery's format.", show_default=True)
    ] = Path("examples/load/demo.yml"),
    seed: Annotated[int, typer.Option(help="Repeats traffic and weather.")] = 7,
    duration_factor: Annotated[float, typer.Option(help="How many times as long as the profile says.")] = 1.0,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for the queues to drain after the last request.")
    ] = 150.0,
    outage: Annotated[
        bool, typer.Option(help="Take the courier down from 35 % to 65 % of the profile's time.")
    ] = True,
    report: Annotated[Path, typer.Option(help="Where to write the HTML report.")] = Path("demo-report.html"),
    app: Annotated[
        str, typer.Option(help="The command that synthesizes the CDK app.")
    ] = "python examples/app.py",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as one JSON object on the standard output.")
    ] = False,
) -> None:
    """Deploy the courier example, drive it, break it, and account for every message.

    Exit code 0: nothing was lost. 1: the ledger does not balance. 2: a wrong option. 3: it could not go on.
    """
    console = Console(stderr=as_json, highlight=False)
    previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _check_report(report)
        wishes = Wishes(
            profile=profile,
            seed=seed,
            duration_factor=duration_factor,
            patience=patience,
            outage=(0.35, 0.65) if outage else (0.0, 0.0),
            app=app,
        )
        story = _run(wishes, console)
        write_report(story, report)
    except Interrupted as stopped:
        _fail(f"stopped by {signal.Signals(stopped.number).name}; no process is left", 128 + stopped.number)
    except ProfileError as error:
        _fail(f"{error}{'' if profile.exists() else _WHERE}", _USAGE)
    except (DemoError, LocalAwsError, OSError) as error:
        _fail(str(error), _CANNOT_GO_ON)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if story.fidelity:
        console.print(f"{len(story.fidelity)} things are not as on AWS; the report lists them")
    console.print(f"report: {report} · {story.timings['total']:.0f} s in all", soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(story.to_json()))
    raise typer.Exit(0 if story.ledger.balanced else _NOT_BALANCED)


def _check_report(report: Path) -> None:
    # before the run: minutes later its story would be lost
    there = next(each for each in (report, *report.absolute().parents) if each.exists())
    right_kind = report.is_file() if report.exists() else there.is_dir()
    if not right_kind or not os.access(there, os.W_OK):
        raise DemoError(f"the report cannot be written to {report}; give --report a file that can be")


def _run(wishes: Wishes, console: Console) -> Story:
    with Screen(console) as screen:
        story = Demo(wishes, screen).run()
        screen.ledger(story)
        return story


def _stop(number: int, _: FrameType | None) -> None:
    # Once: a second Ctrl-C must not break the tidying up that the first one began.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def _fail(text: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False).print(
        f"resilient demo: {text}", style="red", markup=False, soft_wrap=True
    )
    raise typer.Exit(code)
