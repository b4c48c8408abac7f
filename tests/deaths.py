"""Kill what runs a function on the local AWS, in whatever it is at."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from resilient_constructs.local import LocalAws

__all__ = ["kill", "wait_for"]

PATIENCE = 150.0
"""Seconds; what a controller died over is looked at again by its reconciler, every two minutes."""


def kill(aws: LocalAws, function: str = "") -> int:
    """Kill every process that runs a function whose name contains this; how many there were."""
    supervisor = aws._supervisor
    assert supervisor is not None
    (server,) = psutil.Process(supervisor.pid).children()
    killed = 0
    for worker in server.children():
        with suppress(psutil.NoSuchProcess):
            if function in worker.environ().get("AWS_LAMBDA_FUNCTION_NAME", ""):
                worker.kill()
                killed += 1
    return killed


def wait_for(what: str, done: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until it is so.

    :raises AssertionError: when it is not in time
    """
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.1)
