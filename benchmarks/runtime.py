"""What the runtime costs: per invocation, per batch, at a cold start, and in the size of its layer.

The two sides of a ratio take turns in one process and write to the same place; a ratio is the median of the
turns' own ratios, so that a machine that slows down slows both. A cold start is a fresh interpreter each
time, in turn with one that does nothing, and the fastest of each count.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import resilient_runtime
from resilient_runtime.settings import Settings

from resilient_constructs.assets import runtime_layer_asset

from .harness import Result, Table

__all__ = ["run"]

GOAL = {"wrapper_ratio": 0.5, "batch_ratio": 0.35, "import_ms": 45.0, "layer_mb": 3.0}

TURNS = 8
"""Turns of each side for one repeat: many short ones, as what else a machine does comes and goes."""
CALLS = 500
STARTS = 6
IMPORT = "import resilient_runtime.entry"
NOTHING = "pass"


def run(repeats: int, tell: Callable[[str], None], *, turns: int = TURNS, calls: int = CALLS) -> Result:
    """Measure all four."""
    measured = _sides(repeats * turns, calls)
    tell("calls done")
    starts = _starts(repeats * STARTS)
    tell("cold starts done")
    layer = runtime_layer_asset().path.stat().st_size / 1_000_000
    return _result(measured, starts, layer)


def _sides(turns: int, calls: int) -> Mapping[str, Mapping[str, Sequence[float]]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.runtime_once", str(turns), str(calls)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the calls failed:\n{done.stderr}")
    measured: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _starts(starts: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of a start that does nothing, one that imports the runtime, and one that compiles it.

    Lambda's own file system is read-only, so a function whose package carries no bytecode compiles at every
    cold start; a machine that has started it once does not.
    """
    taken: dict[str, list[float]] = {"bare": [], "ours": [], "compiling": []}
    with tempfile.TemporaryDirectory() as folder:
        task, source = Path(folder, "task"), Path(folder, "source")
        task.mkdir()
        (task / "orders.py").write_text("def handle(event, context):\n    return event\n")
        runtime = Path(resilient_runtime.__file__).parent
        shutil.copytree(runtime, source / runtime.name, ignore=shutil.ignore_patterns("__pycache__"))
        env = {
            "AWS_LAMBDA_FUNCTION_NAME": "Orders-1A2B3C",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "PATH": os.environ["PATH"],
            **Settings(handler="orders.handle", service="orders").to_env(),
        }
        cached = env | {"PYTHONPATH": f"{task}{os.pathsep}{runtime.parent}"}
        compiling = env | {"PYTHONPATH": f"{task}{os.pathsep}{source}", "PYTHONDONTWRITEBYTECODE": "1"}
        for repeat in range(-1, starts):
            for name, code, environment in (
                ("bare", NOTHING, cached),
                ("ours", IMPORT, cached),
                ("compiling", IMPORT, compiling),
            ):
                milliseconds = _start(code, environment)
                if repeat >= 0:  # the first one writes the bytecode
                    taken[name].append(milliseconds)
    return taken


def _start(code: str, env: Mapping[str, str]) -> float:
    # -S: a developer's site-packages take longer than everything here, and Lambda has none of them.
    began = time.perf_counter()
    subprocess.run([sys.executable, "-S", "-c", code], env=env, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def _ratio(side: Mapping[str, Sequence[float]]) -> float:
    return statistics.median(ours / theirs for ours, theirs in zip(side["ours"], side["theirs"], strict=True))


def _over_bare(starts: Mapping[str, Sequence[float]], name: str) -> float:
    # The fastest of each: whatever else the machine does can only add.
    return min(starts[name]) - min(starts["bare"])


def _result(
    measured: Mapping[str, Mapping[str, Sequence[float]]],
    starts: Mapping[str, Sequence[float]],
    layer: float,
) -> Result:
    figures: dict[str, float] = {
        "wrapper_ratio": round(_ratio(measured["wrapper"]), 3),
        "batch_ratio": round(_ratio(measured["batch"]), 3),
        "import_ms": round(_over_bare(starts, "ours"), 1),
        "layer_mb": round(layer, 3),
        "import_compiling_ms": round(_over_bare(starts, "compiling"), 1),
    }
    for kind in ("wrapper", "batch"):
        for name, taken in measured[kind].items():
            figures[f"{kind}_{name}_us"] = round(statistics.median(taken), 1)
    calls = Table(
        title="Microseconds per call (a batch has ten messages), the median of all turns",
        heads=["call", "ours", "Powertools", "ratio", "goal"],
        rows=[
            [
                kind,
                figures[f"{kind}_ours_us"],
                figures[f"{kind}_theirs_us"],
                figures[f"{kind}_ratio"],
                GOAL[f"{kind}_ratio"],
            ]
            for kind in ("wrapper", "batch")
        ],
    )
    start = Table(
        title="Milliseconds of a cold start over an interpreter that does nothing",
        heads=["start", "ms", "goal"],
        rows=[
            ["with bytecode", figures["import_ms"], GOAL["import_ms"]],
            ["compiling", figures["import_compiling_ms"], None],
        ],
    )
    size = Table(
        title="The layer, zipped", heads=["", "MB", "goal"], rows=[["layer", layer, GOAL["layer_mb"]]]
    )
    return Result(name="runtime", figures=figures, goal=GOAL, tables=[calls, start, size])
