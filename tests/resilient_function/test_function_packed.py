"""What was packed runs: the layer and the function's code, and nothing else of this machine's packages."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from resilient_constructs.assets import Target, function_asset, runtime_layer_asset

INVOKE = """
import json, sys, types
sys.path[:0] = [sys.argv[1], sys.argv[2] + "/python"]
from resilient_runtime.entry import handler
context = types.SimpleNamespace(
    aws_request_id="r-1", function_name="f", invoked_function_arn="arn", memory_limit_in_mb=256,
    function_version="$LATEST", get_remaining_time_in_millis=lambda: 30000,
)
print("ANSWER " + json.dumps(handler({"n": 20}, context)))
"""


def test_runs_alone(tmp_path: Path) -> None:
    """The entry point of the packed layer calls the packed handler, with no other package installed."""
    folder = tmp_path / "handlers"
    folder.mkdir()
    (folder / "sums.py").write_text("def double(event, context):\n    return event['n'] * 2\n")
    target = Target(python="3.13", architecture="arm64")
    code, layer = tmp_path / "task", tmp_path / "opt"
    zipfile.ZipFile(function_asset(folder, owner="test", target=target).path).extractall(code)
    zipfile.ZipFile(runtime_layer_asset().path).extractall(layer)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", INVOKE, str(code), str(layer)],
        env={"RESILIENT_HANDLER": "sums.double", "AWS_LAMBDA_FUNCTION_NAME": "f"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ANSWER 40" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    records = [json.loads(line) for line in lines]
    assert [record["status"] for record in records] == ["STARTED", "COMPLETED", "HEALTH"]
