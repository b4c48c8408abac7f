"""The emulator's server process: ministack with our extension, on a socket that it was given.

Run by the supervisor as ``python -m resilient_constructs.local.server FD DIRECTORY``; its standard input is
the watch pipe.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from . import workdir
from .orders import RESOURCE_TYPES

_PR_SET_PDEATHSIG = 1


def _end(directory: Path) -> None:
    """End this process and every Lambda worker in its group."""
    workdir.remove(directory)
    os.killpg(0, signal.SIGKILL)


def _end_with_supervisor(directory: Path) -> None:
    """End when the supervisor does, however that happens."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        _end(directory)

    threading.Thread(target=watch, name="watch-supervisor", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _end(directory))
    if sys.platform == "linux":
        # A second belt. Not SIGKILL: it would take this process before it could take its workers along.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Serve until the supervisor ends."""
    descriptor, directory = int(sys.argv[1]), Path(sys.argv[2])
    _end_with_supervisor(directory)
    from .extension import load, resource_types

    app = load()
    (directory / RESOURCE_TYPES).write_text("\n".join(resource_types()), encoding="utf-8")

    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75  # longer than any client's pool keeps a connection
    config.backlog = 1024
    config.loglevel = "WARNING"
    config.accesslog = None
    # The trigger never comes: without one, hypercorn puts its own graceful handler over our SIGTERM.
    asyncio.run(serve(app, config, shutdown_trigger=asyncio.Event().wait))


if __name__ == "__main__":
    main()
