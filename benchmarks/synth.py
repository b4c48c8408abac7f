"""How much time, memory and how many round trips to Node it takes to construct and synthesize.

Every figure comes from a fresh process. The apps take turns within each repeat, so that a machine that slows
down slows all of them; what is compared is the median.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from .harness import Result, Table
from .synth_apps import CONSTRUCTS

__all__ = ["run"]

COPIES = (1, 10, 50)
# Made of others: functions, queues and mappings, a stream or a state machine, and a dozen alarms or two. They
# are no part of the others' goal and have one of their own; a stack has room for fewer of them.
LARGE = ("BreakerWorkflow", "ParallelWork", "KinesisBisectConsumer")
# of one construct in one stack; the difference is what a copy costs, the rest what its stack costs once
FEW, MANY = 10, 20
SPANS = {"BreakerWorkflow": (4, 8), "ParallelWork": (2, 4), "KinesisBisectConsumer": (6, 12)}
GOAL = {
    "ratio_per_resource_50": 1.0,
    "jsii_per_copy": 25.0,
    **{f"jsii_per_copy_{name}": 65.0 for name in LARGE},
}

Measured = Mapping[str, Any]


def run(repeats: int, tell: Callable[[str], None]) -> Result:
    """Measure ours, plain L2 with cdk-monitoring-constructs, and Solutions Constructs where installed."""
    apps = ["ours", "plain"]
    if find_spec("aws_solutions_constructs") is not None:
        apps.append("solutions")
    for app in apps:
        _measure(app, 1)  # builds and caches the assets
    taken: dict[tuple[str, int], list[Measured]] = {}
    for repeat in range(1, repeats + 1):
        for copies in COPIES:
            for app in apps:
                taken.setdefault((app, copies), []).append(_measure(app, copies))
        tell(f"repeat {repeat} of {repeats} done")
    chains = {key: _medians(values) for key, values in taken.items()}
    validated = {app: _measure(app, 10, validate=True) for app in apps}
    singles = {
        name: (_measure(f"only:{name}", few), _measure(f"only:{name}", many))
        for name, (few, many) in ((name, _span(name)) for name in CONSTRUCTS)
    }
    return _result(chains, validated, singles)


def _measure(app: str, copies: int, *, validate: bool = False) -> Measured:
    environment = dict(os.environ) | {"JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1"}
    if validate:
        environment.pop("CDK_VALIDATION", None)
    else:
        environment["CDK_VALIDATION"] = "false"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.synth_once", app, str(copies)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{app} × {copies} failed:\n{done.stderr}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def _medians(taken: Sequence[Measured]) -> Measured:
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def _per_resource(measured: Measured, key: str = "seconds") -> float:
    return float(measured[key]) / int(measured["resources"])


def _span(name: str) -> tuple[int, int]:
    """How many copies of a construct its two stacks hold."""
    return SPANS.get(name, (FEW, MANY))


def _slope(name: str, few: Measured, many: Measured, key: str) -> float:
    """What one more copy adds, synth included."""
    least, most = _span(name)
    return float(many[key] - few[key]) / (most - least)


def _result(
    chains: Mapping[tuple[str, int], Measured],
    validated: Mapping[str, Measured],
    singles: Mapping[str, tuple[Measured, Measured]],
) -> Result:
    most = max(COPIES)
    ours, plain = chains["ours", most], chains["plain", most]
    per_copy = {name: _slope(name, few, many, "requests") for name, (few, many) in singles.items()}
    figures: dict[str, Any] = {
        "ratio_per_resource_50": round(_per_resource(ours) / _per_resource(plain), 3),
        "jsii_per_copy": round(max(each for name, each in per_copy.items() if name not in LARGE), 1),
        "cpu_ratio_per_resource_50": round(
            _per_resource(ours, "cpu_seconds") / _per_resource(plain, "cpu_seconds"), 3
        ),
    }
    for name, requests in per_copy.items():
        figures[f"jsii_per_copy_{name}"] = round(requests, 1)
    for (app, copies), measured in chains.items():
        for key in ("seconds", "requests", "python_mb", "node_mb", "resources", "template_bytes"):
            figures[f"{app}_{copies}_{key}"] = round(measured[key], 3)
    for app, measured in validated.items():
        figures[f"{app}_10_seconds_validator_on"] = round(measured["seconds"], 3)
    return Result(
        name="synth", figures=figures, goal=GOAL, tables=_tables(chains, validated, singles, per_copy)
    )


def _tables(
    chains: Mapping[tuple[str, int], Measured],
    validated: Mapping[str, Measured],
    singles: Mapping[str, tuple[Measured, Measured]],
    per_copy: Mapping[str, float],
) -> list[Table]:
    heads = ["app × copies", "s", "ms/resource", "CPU s", "jsii", "jsii/copy"]
    heads += ["python MB", "node MB", "resources", "KB"]
    rows = [
        [
            f"{app} × {copies}",
            one["seconds"],
            1000 * _per_resource(one),
            one["cpu_seconds"],
            int(one["requests"]),
            one["requests"] / copies,
            int(one["python_mb"]),
            int(one["node_mb"]),
            int(one["resources"]),
            int(one["template_bytes"] / 1024),
        ]
        for (app, copies), one in sorted(chains.items(), key=lambda item: item[0][1])
    ]
    chain = Table(title="API → bus → queue → function, alarms and dashboard", heads=heads, rows=rows)
    validator = Table(
        title="With the CDK's own validator, 10 copies",
        heads=["app", "s off", "s on", "node MB on"],
        rows=[
            [app, chains[app, 10]["seconds"], one["seconds"], int(one["node_mb"])]
            for app, one in validated.items()
        ],
    )
    single = Table(
        title="Each construct alone: what one more copy adds, alarms, dashboard and synth included",
        heads=["construct", "jsii/copy", "jsii/stack", "resources/copy", "ms/copy"],
        rows=[
            [
                name,
                per_copy[name],
                int(few["requests"] - _span(name)[0] * per_copy[name]),
                _slope(name, few, many, "resources"),
                1000 * _slope(name, few, many, "seconds"),
            ]
            for name, (few, many) in singles.items()
        ],
    )
    return [chain, validator, single]
