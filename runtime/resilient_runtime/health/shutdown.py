"""When Lambda ends an environment, what the user's code registered still gets its turn.

Lambda sends SIGTERM only where an extension is registered, and then leaves some 300 ms.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ["call_on_termination"]

_SECONDS = 0.25


def call_on_termination(run: Callable[[float], object], *, leave: Callable[[int], object] = os._exit) -> bool:
    """Have ``run`` called, with the seconds it has, when this process is told to end.

    :returns: whether it will be; False where the user's code listens to that signal itself
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    owner = os.getpid()

    def end(number: int, frame: Any) -> None:
        del frame
        if os.getpid() != owner:
            # A process that was forked off: the pools are not its own, and it must end as it always did.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        try:
            run(_SECONDS)
        finally:
            # Not sys.exit: the interface client may be waiting for an event in a thread that never ends.
            leave(0)

    signal.signal(signal.SIGTERM, end)
    return True
