"""When a re-executed interpreter fails to start: the invocation in whose time it starts must not fail for it.

That invocation has been answered, and ends well as soon as the next event is asked for; a process that ended
before would have Lambda record it as failed. So the next event is asked for, and the start tried again then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from .handler_lookup import Handler

__all__ = ["built_when_called"]


def built_when_called(build: Callable[[Mapping[str, str]], Handler], env: Mapping[str, str]) -> Handler:
    """A handler that starts with its first invocation, or fails that one with what keeps it from starting.

    Call it while the exception is handled that the start failed with; it is written to standard error.
    """
    import traceback

    print("the start after a recycle failed; it is tried again with the next event", file=sys.stderr)
    traceback.print_exc()
    built: list[Handler] = []

    def handle(event: Any, context: Any) -> Any:
        if not built:
            built.append(build(env))
        return built[0](event, context)

    return handle
