"""Asynchronous invocation: Lambda's own queue in front of a function, and its retries.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .functions import FAILED, Function

__all__ = ["AsynchronousInvocation"]


@dataclass(slots=True)
class AsynchronousInvocation:
    """Invokes a function, and again where it fails.

    :param waits: seconds before each retry, as AWS tells: about one minute, then about two
    :ivar delivered: events that an invocation succeeded for
    :ivar dropped: events that failed every time
    """

    engine: Engine
    function: Function
    waits: tuple[float, ...] = (60.0, 120.0)
    delivered: int = 0
    dropped: int = 0

    def send(self, event: Any) -> None:
        """Take an event."""
        self._invoke(event, 0)

    def _invoke(self, event: Any, retries: int) -> None:
        def over(result: Any) -> None:
            if result is not FAILED:
                self.delivered += 1
            elif retries == len(self.waits):
                self.dropped += 1
            else:
                self.engine.after(self.waits[retries], lambda: self._invoke(event, retries + 1))

        self.function.invoke(event, over)
