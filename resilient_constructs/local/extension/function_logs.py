"""The log of an invocation, whole.

AWS: everything that a function writes during an invocation is in its log.
ministack 1.5.33: takes what has arrived 5 ms after the answer, and waits 50 ms where nothing has. On a busy
machine the rest is found with the environment's next invocation, and never where there is none.
Here: the worker writes a line of its own behind the handler's last one, and that line is waited for.
https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
"""

from __future__ import annotations

import queue
import time
from typing import Any

from ministack.core import lambda_runtime

__all__ = ["close"]

_END = "\x1eend of the invocation's log\x1e"
_LONGEST = 2.0
"""Seconds; only a function that closed its standard error makes anybody wait so long."""
_LONGEST_AFTER_DEATH = 0.25
"""Seconds; a process that died in its handler wrote no such line."""


def close() -> None:
    """Put it in place."""
    call = "            result = handler_fn(event, context)\n"
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(call) != 1:
        raise RuntimeError("this is not the ministack that the extension was written for")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(
        call,
        "            try:\n"
        "                result = handler_fn(event, context)\n"
        "            finally:\n"
        f"                sys.stderr.write({_END + chr(10)!r})\n"
        "                sys.stderr.flush()\n",
    )
    otherwise = lambda_runtime.Worker._drain_stderr_bounded

    def drain(self: Any, *arguments: Any, **options: Any) -> str:
        if not str(self.config.get("Runtime", "")).startswith("python"):
            return str(otherwise(self, *arguments, **options))
        return _until_the_end(self._stderr_queue, _LONGEST if self._proc else _LONGEST_AFTER_DEATH)

    lambda_runtime.Worker._drain_stderr_bounded = drain


def _until_the_end(written: queue.Queue[str], longest: float) -> str:
    lines: list[str] = []
    until = time.monotonic() + longest
    while True:
        try:
            line = written.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return "\n".join(lines)
        # What the handler left without a line's end stands before ours.
        before, found, _ = line.partition(_END)
        if before or not found:
            lines.append(before)
        if found:
            return "\n".join(lines)
