"""One app, synthesized once in this process: ``python -m benchmarks.synth_once APP COPIES``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from resilient_constructs.testing import count_jsii

from . import synth_apps


def main(app_name: str, copies: int) -> dict[str, Any]:
    """Construct and synthesize, and tell what it took."""
    build = synth_apps.APPS[app_name]
    import aws_cdk

    with tempfile.TemporaryDirectory() as folder:
        synth_apps.load(app_name)
        aws_cdk.App(outdir=folder)  # starts Node, which every app pays alike
        before = _cpu_seconds()
        began = time.perf_counter()
        with count_jsii() as requests:
            app = aws_cdk.App(outdir=folder)
            last_copy_requests = build(app, copies, requests)
            app.synth()
        seconds = time.perf_counter() - began
        cpu_seconds = _cpu_seconds() - before
        templates = sorted(Path(folder).rglob("*.template.json"))
        resources = [json.loads(path.read_text())["Resources"] for path in templates]
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "requests": requests.count,
            "last_copy_requests": last_copy_requests,
            "python_mb": _peak_mb(os.getpid()),
            "node_mb": sum(_peak_mb(process) for process in _descendants(os.getpid())),
            "resources": sum(len(one) for one in resources),
            "template_bytes": sum(path.stat().st_size for path in templates),
        }


def _descendants(process: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{process}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return children + [found for child in children for found in _descendants(child)]


def _peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) / 1024


def _cpu_seconds() -> float:
    """User and system time of this process and of Node, all threads."""
    ticks = 0
    for process in (os.getpid(), *_descendants(os.getpid())):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
