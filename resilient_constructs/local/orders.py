"""What a supervisor is told to run, and the command line that tells it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

__all__ = ["RESOURCE_TYPES", "Orders", "command"]

RESOURCE_TYPES = "resource-types.txt"
"""The file in a run's directory that names every CloudFormation type the emulator can make."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What a supervisor is told to run.

    :param listener: file descriptor of the listening socket
    :param port: the port that socket listens on
    :param directory: where this run keeps everything; removed at the end
    :param calls: the file that every AWS call is recorded in
    :param auth: whether the emulator enforces IAM
    :param owner: process id of the user's process; None for a daemon
    :param state: a daemon's state file
    """

    listener: int
    port: int
    directory: str
    calls: str
    auth: bool
    owner: int | None
    state: str | None = None


def command(orders: Orders) -> list[str]:
    """The command line that runs a supervisor with these orders."""
    # -P: a directory called "ministack" where the user happens to stand must not be imported.
    return [sys.executable, "-P", "-m", "resilient_constructs.local.supervisor", json.dumps(asdict(orders))]
