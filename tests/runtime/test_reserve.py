from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from resilient_runtime import Call
from resilient_runtime.diagnostics import Diagnostics
from resilient_runtime.reserve import Reserve
from resilient_runtime.status import StatusLines

RUNTIME = Path(__file__).parents[2] / "runtime"

USES_UP_ALL = """
    import os, resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.environ.update(
        RESILIENT_HANDLER="greedy.handler", RESILIENT_MODE="event", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128"
    )
    from resilient_runtime.entry import handler
    handler({"files": 0}, None)
    try:
        handler({"files": 100, "password": "hunter2"}, None)
    except OSError:
        pass
"""
GREEDY = """
    kept = []
    def handler(event, context):
        kept.extend(open(__file__) for _ in range(event["files"]))
"""


def test_what_is_held_back_is_given_up_and_taken_back() -> None:
    """Four descriptors unless told otherwise, none while they are given up."""
    reserve = Reserve()
    assert reserve.held == 4
    reserve.release()
    reserve.release()
    assert reserve.held == 0
    reserve.renew()
    assert reserve.held == 4


def test_an_environment_that_is_gone_holds_nothing_back() -> None:
    """Its descriptors are closed with it, so that tests may build thousands."""
    lowest = os.dup(0)
    os.close(lowest)
    for _ in range(100):
        Reserve()
    after = os.dup(0)
    os.close(after)
    assert after <= lowest


def test_an_environment_without_a_free_descriptor_tells_its_first_failure_and_is_cured(
    tmp_path: Path,
) -> None:
    """Nothing that tells or cures was imported before, and importing it takes descriptors."""
    (tmp_path / "greedy.py").write_text(textwrap.dedent(GREEDY))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USES_UP_ALL)],
        env={"PYTHONPATH": f"{RUNTIME}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    records: dict[str, Any] = {
        record["status"]: record for record in map(json.loads, done.stdout.splitlines())
    }
    failed = records["FAILED"]
    assert "Too many open files" in failed["error"]
    assert "in handler" in failed["stack"]
    assert failed["event"] == {"files": 100, "password": "[hidden]"}
    if sys.platform == "linux":
        # Elsewhere nobody knows how many descriptors are open.
        assert records["LEAK"]["suspects"]["descriptors"][0]["count"] > 40
        assert "CLEANED" in records


def test_a_failure_whose_secrets_cannot_be_looked_for_is_told_without_its_text() -> None:
    """The record and its metric are there, the class of the error too; what may be secret is not."""

    class Broken(Diagnostics):
        def text(self, text: str) -> str:
            raise MemoryError

        def stack(self, error: BaseException) -> str:
            raise MemoryError

    lines = StatusLines(service="s", function_name="f", diagnostics=Broken())
    call = Call(correlation_id="c", idempotency_key="k", request_id="r")
    record = json.loads(lines.failed(call, 0.1, ValueError("hunter2"), {}))
    assert record["Failed"] == 1
    assert record["error"] == "ValueError: [hidden: it could not be searched for secrets]"
    assert "hunter2" not in json.dumps(record)
