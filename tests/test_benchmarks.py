"""The benchmarks' harness, and the app that stands for this library in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import breaker
from benchmarks.__main__ import main
from benchmarks.harness import Result, Table

ROOT = Path(__file__).parent.parent


def result(**figures: float | None) -> Result:
    """A result with one goal: ratio at most 1."""
    return Result(name="synth", figures=figures, goal={"ratio": 1.0})


@pytest.mark.parametrize(("ratio", "met"), [(0.9, True), (1.0, True), (1.01, False), (None, False)])
def test_a_goal_is_met_up_to_its_bound_and_never_by_what_was_not_measured(
    ratio: float | None, met: bool
) -> None:
    """The bound itself is good enough; a missing figure is not."""
    assert result(ratio=ratio).met is met


def test_a_result_without_its_figure_misses_the_goal() -> None:
    """A benchmark cannot pass by leaving a figure out."""
    assert not result(other=0.1).met


def test_a_result_is_one_line_of_json() -> None:
    """Name, figures, goal and met, for whoever collects them."""
    line = result(ratio=0.5).to_json()

    assert "\n" not in line
    assert json.loads(line) == {
        "name": "synth",
        "figures": {"ratio": 0.5},
        "goal": {"ratio": 1.0},
        "met": True,
    }


def test_a_table_puts_numbers_under_each_other() -> None:
    """Columns line up whatever the length of their cells."""
    table = Table(title="Apps", heads=["app", "s"], rows=[["ours", 1234.5], ["plain", None], ["x", 0.25]])

    lines = str(table).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1
    assert "1,234.50" in lines[3]
    assert lines[4].endswith("–")


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the benchmarks there are."""
    with pytest.raises(SystemExit):
        main(["speed"])

    assert "synth" in capsys.readouterr().err


def test_the_breakers_are_measured_beside_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every contestant that is installed has a figure, and ours is compared with the fastest peer."""
    monkeypatch.setattr(breaker, "CALLS", 20)
    monkeypatch.setattr(breaker, "TURNS", 2)
    figures = breaker.run(1, lambda _: None).figures

    assert {"ours_us", "powertools_us", "ours_enter_leave_us", "ours_boundary_us"} <= set(figures)
    assert isinstance(figures["closed_ratio"], float)


def test_both_sides_of_the_runtime_are_called_and_write_the_same_number_of_lines() -> None:
    """What is compared does the same work: a line at both ends, for each invocation and each message."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.runtime_once", "2", "10"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'runtime'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    measured = json.loads(done.stdout.splitlines()[-1])
    for kind in ("wrapper", "batch"):
        assert len(measured[kind]["ours"]) == len(measured[kind]["theirs"]) == 2
        assert all(0 < one < 1e6 for side in measured[kind].values() for one in side)
    # Lines that end with the same words are the same in every call; a first call may tell of health once.
    assert measured["lines"] == {"wrapper": {"ours": 2, "theirs": 3}, "batch": {"ours": 20, "theirs": 20}}


@pytest.mark.slow
def test_the_measured_app_synthesizes() -> None:
    """The chain of this library is built and measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.synth_once", "ours", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["resources"] > 60
    assert measured["requests"] > measured["last_copy_requests"] > 0
    assert measured["node_mb"] > 50
