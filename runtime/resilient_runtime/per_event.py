"""Mode ``event``: the user's function is called once, and what it returns or raises is left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .call import Boundary, Call, active_call
from .correlation import from_event, idempotency_key_of
from .handler_lookup import Handler
from .lifecycle import Guard, Remaining, Work
from .settings import DownstreamSettings
from .status import StatusLines

__all__ = ["per_event"]


def per_event(
    function: Handler,
    *,
    lines: StatusLines,
    emit: Callable[[str], None],
    downstreams: Mapping[str, DownstreamSettings],
    boundary: Boundary,
    guard: Guard,
) -> Work:
    """Call ``function(event, context)`` between a STARTED record and a COMPLETED or FAILED one."""
    clock = lines.clock
    ticks, enter, leave = clock.ticks, guard.enter, guard.leave

    def call_of(event: Any, context: Any, remaining: Remaining) -> Call:
        request_id = str(getattr(context, "aws_request_id", ""))
        return Call(
            correlation_id=from_event(event, request_id=request_id),
            idempotency_key=idempotency_key_of(event, request_id=request_id),
            request_id=request_id,
            downstreams=downstreams,
            boundary=boundary,
            remaining=remaining,
            clock=clock,
        )

    def handle(event: Any, context: Any, remaining: Remaining) -> Any:
        call = call_of(event, context, remaining)
        token = active_call.set(call)
        try:
            emit(lines.started(call))
            started = ticks()
            try:
                try:
                    enter()
                    result = function(event, context)
                finally:
                    leave()
            except BaseException as error:
                emit(lines.failed(call, ticks() - started, error))
                raise
            emit(lines.completed(call, ticks() - started))
            return result
        finally:
            active_call.reset(token)

    return handle
