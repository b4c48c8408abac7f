"""Run one benchmark by name; its last line of output is one JSON object."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .harness import Result

BENCHMARKS = ("breaker", "experiment", "outage", "poison", "runtime", "synth")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark, print its tables and then one line of JSON; 1 when it misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", action="store_true", help="print the line of JSON alone")
    parser.add_argument("--repeats", type=int, default=5, help="how often each figure is measured (median)")
    chosen = parser.parse_args(arguments)

    def tell(line: str) -> None:
        if not chosen.json:
            print(line, file=sys.stderr, flush=True)

    result = _benchmark(chosen.name)(chosen.repeats, tell)
    if not chosen.json:
        for table in result.tables:
            print(table)
    print(result.to_json())
    return 0 if result.met else 1


def _benchmark(name: str) -> Callable[[int, Callable[[str], None]], Result]:
    from . import breaker, experiment, outage, poison, runtime, synth

    modules = {
        "breaker": breaker,
        "experiment": experiment,
        "outage": outage,
        "poison": poison,
        "runtime": runtime,
        "synth": synth,
    }
    return modules[name].run


if __name__ == "__main__":
    sys.exit(main())
