"""``resilient soak``: options, exit codes, the JSON line and the report."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilient_constructs import cli

HANDLERS = Path(__file__).parent / "handlers"
_KEYS = ["leak", "fails_at", "interval", "failed_at"]


def run(*arguments: str) -> tuple[int, str, str]:
    """The exit code, the standard output and the standard error."""
    result = CliRunner().invoke(
        cli._app(), ["soak", "--path", str(HANDLERS), "--timeout", "20", *arguments], env={"COLUMNS": "120"}
    )
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("engine", ["plain", pytest.param("rie", marks=pytest.mark.rie)])
def test_a_clean_handler_ends_in_0(engine: str) -> None:
    """A clean handler ends in exit code 0, and the last line is the JSON object."""
    code, out, said = run("clean:files", "--invocations", "50", "--engine", engine, "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == dict.fromkeys(_KEYS)
    assert "no leak: 50 invocations" in said
    assert ("AWS's runtime emulator" in said) == (engine == "rie")


@pytest.mark.parametrize("engine", ["plain", pytest.param("rie", marks=pytest.mark.rie)])
def test_a_leak_ends_in_1_and_is_told(engine: str, tmp_path: Path) -> None:
    """A leak ends in exit code 1; the line, the rate and the invocation are told, and the report has them."""
    report = tmp_path / "reports" / "soak.html"
    code, out, said = run(
        "leaky.descriptor", "-n", "60", "--engine", engine, "--json", "--report", str(report)
    )
    result = json.loads(out.splitlines()[-1])
    assert code == 1
    assert list(result) == _KEYS
    assert result["leak"] == "descriptors"
    assert 1018 <= result["fails_at"] <= 1022
    assert result["failed_at"] is None
    assert "each invocation leaves 1 descriptor behind" in said
    assert "/dev/null, from leaky.py:" in said
    page = report.read_text(encoding="utf-8")
    assert f"Descriptors will run out at invocation {result['fails_at']:,}" in page
    assert "src=" not in page.partition("<section")[0]


@pytest.mark.parametrize("engine", ["plain", pytest.param("rie", marks=pytest.mark.rie)])
def test_a_run_to_the_end_has_both_numbers(engine: str) -> None:
    """Where the failure is reached, the JSON has it beside what a tenth of the way foretold."""
    code, out, _ = run(
        *("leaky:descriptor", "--invocations", "500", "--descriptors", "100"), "--engine", engine, "--json"
    )
    result = json.loads(out.splitlines()[-1])
    assert code == 1
    assert abs(result["fails_at"] - result["failed_at"]) <= 0.1 * result["failed_at"]


def test_a_failure_without_json_shows_the_error() -> None:
    """A handler that raises is shown with its stack."""
    code, out, _ = run("leaky:fails_the_third_time", "--engine", "plain")
    assert code == 1
    assert "failed at invocation 3" in out
    assert "ValueError: the third one" in out
    assert "leaky.py" in out


@pytest.mark.parametrize(
    ("handler", "why"),
    [("messages:fails", "KeyError: 'order_id'"), ("messages:rejects", "Reject: no address")],
)
def test_a_message_that_went_back_is_told_with_what_the_handler_raised(handler: str, why: str) -> None:
    """Not with the answer to the queue, which says that it went back but never why."""
    code, out, _ = run(handler, "--engine", "plain", "--mode", "messages")
    assert code == 1
    assert f"failed at invocation 1: {why}; the message went back to its queue" in out
    assert ("messages.py" in out) == (handler == "messages:fails")


@pytest.mark.parametrize("engine", ["plain", pytest.param("rie", marks=pytest.mark.rie)])
def test_a_module_that_cannot_be_read_is_told_by_its_own_name(engine: str, tmp_path: Path) -> None:
    """The module that this command puts around the handler's is nobody's business."""
    (tmp_path / "broken.py").write_text("def handler(event, context:\n")
    code, out, _ = run("broken:handler", "--engine", engine, "--path", str(tmp_path))
    assert code == 1
    assert "'(' was never closed (broken.py, line 1)" in out
    assert "resilient_soak_inside" not in out
    assert "too early to say what leaks" in out


@pytest.mark.parametrize(("invocations", "few"), [(20, True), (100, False)])
def test_a_short_run_says_what_it_cannot_have_seen(invocations: int, few: bool) -> None:
    """No leak in twenty invocations is no proof."""
    code, out, _ = run("clean:files", "--engine", "plain", "-n", str(invocations))
    assert code == 0
    assert ("so few show only what leaks nearly every time" in out) == few


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Wrong options end in exit code 2 with each of them named, before anything is started."""
    event = tmp_path / "event.json"
    event.write_text("{")
    code, _, said = run(
        *("nowhere:handler", "--invocations", "0", "--memory", "64", "--descriptors", "5000", "--tmp", "0"),
        *("--engine", "docker", "--mode", "batch", "--env", "NOVALUE", "--event", str(event)),
    )
    assert code == 2
    for wrong in (
        "has 9 faults",
        "--invocations is 0",
        "--memory is 64",
        "--tmp is 0",
        "--descriptors is 5000",
        "--engine is 'docker'",
        "--mode is 'batch'",
        "which has no nowhere",
        "--env is 'NOVALUE'",
        "a file with JSON",
    ):
        assert wrong in said


@pytest.mark.parametrize("handler", ["handler", "leaky:", ":descriptor", "leaky:des criptor"])
def test_a_handler_that_is_none_is_told(handler: str) -> None:
    """What is no MODULE:FUNCTION is refused with an example."""
    code, _, said = run(handler)
    assert code == 2
    assert "orders:handle" in said


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    """A folder is no report, and that is told at once."""
    code, _, said = run("clean:files", "--report", str(tmp_path))
    assert code == 2
    assert "the report cannot be written" in said


def test_requirements_that_cannot_be_installed_are_told(tmp_path: Path) -> None:
    """Where pip cannot install the requirements the run ends in exit code 3 with pip's last word."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path}/no-such-folder\n")
    code, _, said = run("clean:files", "--requirements", str(requirements))
    assert code == 3
    assert "could not be installed" in said


def test_variables_and_requirements_reach_the_handler(tmp_path: Path) -> None:
    """--env and --requirements are there when the handler's module is imported."""
    wheel = tmp_path / "weather-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("weather.py", "SUNNY = True\n")
        archive.writestr("weather-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: weather\nVersion: 1\n")
        archive.writestr("weather-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("weather-1.dist-info/RECORD", "")
    (tmp_path / "uses.py").write_text(
        "import os, weather\ndef handler(event, context):\n"
        "    assert weather.SUNNY and os.environ['PLACE'] == 'a=b' and event == {'n': 1}\n"
    )
    (tmp_path / "requirements.txt").write_text(f"{wheel}\n")
    (tmp_path / "event.json").write_text('{"n": 1}')
    result = CliRunner().invoke(
        cli._app(),
        [
            *("soak", "uses:handler", "--path", str(tmp_path), "-n", "5", "--env", "PLACE=a=b"),
            *("--event", str(tmp_path / "event.json")),
            *("--requirements", str(tmp_path / "requirements.txt"), "--engine", "plain"),
        ],
    )
    assert result.exit_code == 0, result.output
