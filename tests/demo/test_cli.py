"""The command line: help, version, and one clear line for everything that is missing or wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from typer.testing import CliRunner

from resilient_constructs import __version__, cli
from resilient_constructs.demo.screen import Screen

if TYPE_CHECKING:
    from resilient_constructs.demo.story import Story

REPOSITORY = Path(__file__).parents[2]


def test_only_what_exists_is_listed() -> None:
    """The help lists the commands of this version."""
    result = CliRunner().invoke(cli._app(), ["--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for command in ("archive", "breaker", "demo", "local", "poison", "redrive", "soak", "version"):
        assert command in result.output
    assert "forecast" not in result.output


def test_version_is_the_packages() -> None:
    """``resilient version`` prints what ``__version__`` says."""
    assert CliRunner().invoke(cli._app(), ["version"]).output.strip() == __version__


@pytest.mark.parametrize("missing", ["typer", "rich", "plotly", "yaml"])
def test_a_missing_extra_is_told_with_its_command(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra's packages the command names the one that is missing and what to run."""
    for name in list(sys.modules):
        if name.startswith(("resilient_constructs.demo", "resilient_constructs.soak")):
            monkeypatch.delitem(sys.modules, name)
        if name == missing or name.startswith(f"{missing}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert missing in said
    assert 'pip install "resilient-constructs[local]"' in said


def test_a_profile_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a clone the demo says where to run it, before anything is started."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli._app(), ["demo"])
    assert result.exit_code == 2
    assert "examples/load/demo.yml: cannot be read" in result.output
    assert "clone of the repository" in result.output


@pytest.mark.parametrize("report", ["", "file/report.html"])
def test_a_report_that_cannot_be_written_is_told_before_the_run(
    report: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, or a path through a file, is refused before minutes are spent on what it should tell."""
    from resilient_constructs.demo import command

    def run(*_: object) -> None:
        raise AssertionError("the demo was run")

    monkeypatch.setattr(command, "_run", run)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cli._app(), ["demo", "--report", str(tmp_path / report)])
    assert result.exit_code == 3
    assert "the report cannot be written to" in result.output


def test_a_wrong_profile_is_told(write_profile: Callable[[str], Path]) -> None:
    """A profile that can't be driven ends in exit code 2 with all its faults and no traceback."""
    result = CliRunner().invoke(
        cli._app(), ["demo", "--profile", str(write_profile("config: {phases: [{}]}"))]
    )
    assert result.exit_code == 2
    assert "config.phases[0] has neither" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("lost", [False, True])
def test_the_exit_code_says_whether_the_ledger_balances(
    lost: bool, story: Story, story_of_loss: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that lost something ends in exit code 1, any other in 0, and both leave their report."""
    from resilient_constructs.demo import command

    monkeypatch.setattr(command, "_run", lambda *_: story_of_loss if lost else story)
    report = tmp_path / "report.html"
    result = CliRunner().invoke(cli._app(), ["demo", "--report", str(report), "--json"])
    assert result.exit_code == (1 if lost else 0)
    assert report.is_file()


@pytest.mark.parametrize(
    "missing", [LookupError("stack 'Courier' has no queue that a function works off"), ValueError("no URL")]
)
def test_an_app_that_cannot_be_driven_is_no_loss(missing: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app without a consumer or without the URL ends the demo as 'cannot go on', never as 'lost'."""
    from resilient_constructs.demo import run
    from resilient_constructs.demo.errors import DemoError

    def nothing_there(*_: object) -> None:
        raise missing

    monkeypatch.setattr(run, "discover", nothing_there)
    demo = run.Demo(run.Wishes(profile=REPOSITORY / "examples" / "load" / "demo.yml"), Screen(Console()))
    with pytest.raises(DemoError, match=r"The demo drives an app whose stack 'Courier' has a consumer"):
        demo._find(SimpleNamespace(client=None), SimpleNamespace())
