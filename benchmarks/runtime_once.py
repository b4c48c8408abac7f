"""Both sides in one process, in turn: ``python -m benchmarks.runtime_once TURNS CALLS``."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import runtime_sides as sides

_MESSAGES = len(sides.BATCH["Records"])


def main(turns: int, calls: int) -> dict[str, Any]:
    """Microseconds per call of each side in each turn, and the lines that a call of each writes."""
    os.environ |= sides.ENVIRONMENT
    stdout = sys.stdout
    # Not a terminal and not a file that grows: what a write costs is the same for both.
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        sys.stdout = out = sides.Stdout(sink)  # type: ignore[assignment]
        try:
            pairs = {
                "wrapper": (sides.ours(), sides.theirs(), sides.EVENT, calls),
                "batch": (sides.ours_batch(), sides.theirs_batch(), sides.BATCH, max(calls // _MESSAGES, 1)),
            }
            measured: dict[str, Any] = {name: _in_turn(*pair, turns) for name, pair in pairs.items()}
            measured["lines"] = {
                name: {"ours": _lines(ours, event, out), "theirs": _lines(theirs, event, out)}
                for name, (ours, theirs, event, _) in pairs.items()
            }
            return measured
        finally:
            sys.stdout = stdout


def _in_turn(
    ours: sides.Handler, theirs: sides.Handler, event: Any, calls: int, turns: int
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(-1, turns):
        for name, handler in (("ours", ours), ("theirs", theirs)):
            microseconds = _per_call(handler, event, calls)
            if turn >= 0:  # the one before warms both up
                taken[name].append(microseconds)
    return taken


def _per_call(handler: sides.Handler, event: Any, calls: int) -> float:
    gc.collect()
    contexts = [sides.Context() for _ in range(calls)]
    began = time.perf_counter()
    for context in contexts:
        handler(event, context)
    return (time.perf_counter() - began) / calls * 1e6


def _lines(handler: sides.Handler, event: Any, out: sides.Stdout) -> int:
    """The lines of one call, the fewest of three: now and then one more tells of the environment's health."""
    counts = []
    for _ in range(3):
        before = out.lines
        handler(event, sides.Context())
        counts.append(out.lines - before)
    return min(counts)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
