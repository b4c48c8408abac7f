"""Mode ``event``: the user's function is called once, and what it returns or raises is left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .call import Boundary, Call, active_call
from .correlation import first_valid, fresh_id, from_event, idempotency_key_of, key_of_context
from .handler_lookup import Handler
from .in_progress import InProgress
from .interruption import DeadlineExceeded, exceeded_in, timed_out
from .lifecycle import Guard, Remaining, Work, kept_ms
from .settings import DownstreamSettings
from .status import StatusLines, Teller

__all__ = ["per_event"]


def per_event(
    function: Handler,
    *,
    lines: StatusLines,
    tell: Teller,
    downstreams: Mapping[str, DownstreamSettings],
    boundary: Boundary,
    guard: Guard,
    in_progress: InProgress,
) -> Work:
    """Call ``function(event, context)`` between a STARTED record and a COMPLETED or FAILED one.

    What the function raises goes on to Lambda, the very same object; only the deadline's interruption becomes
    an ordinary exception there, as it would end the execution environment.
    """
    clock = lines.clock
    ticks, enter, leave, done = clock.ticks, guard.enter, guard.leave, boundary.done

    def call_of(event: Any, context: Any, remaining: Remaining) -> Call:
        request_id = str(getattr(context, "aws_request_id", ""))
        return Call(
            correlation_id=_found(from_event, event, request_id),
            idempotency_key=key_of_context(context) or _found(idempotency_key_of, event, request_id),
            request_id=request_id,
            downstreams=downstreams,
            boundary=boundary,
            remaining=remaining,
            clock=clock,
            margin_ms=kept_ms(guard.margin),
        )

    def handle(event: Any, context: Any, remaining: Remaining) -> Any:
        in_progress.call = call = call_of(event, context, remaining)
        token = active_call.set(call)
        try:
            tell(lines.started, call)
            started = ticks()
            try:
                try:
                    enter()
                    result = function(event, context)
                except BaseException as error:
                    done(call, error)
                    raise
                else:
                    try:  # noqa: SIM105  suppress() takes as long as much else here
                        done(call, None)
                    except DeadlineExceeded:
                        pass  # the function has returned: what it did is done, whoever could not be told
                finally:
                    leave()
            except BaseException as error:
                tell(lines.failed, call, ticks() - started, error, event)
                if exceeded_in(error) is not None:
                    raise timed_out(error) from error
                raise
            tell(lines.completed, call, ticks() - started)
            return result
        finally:
            active_call.reset(token)

    return handle


def _found(find: Callable[..., str], event: Any, request_id: str) -> str:
    try:
        return find(event, request_id=request_id)
    except Exception:  # noqa: BLE001  an event that cannot be searched is the handler's, not ours
        return first_valid(request_id) or fresh_id()
