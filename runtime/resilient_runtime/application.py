"""Puts the runtime together for one execution environment: settings, the user's handler, and its mode."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .batch import Batch, DeadLetters
from .call import Boundary, Call, active_call
from .clock import SYSTEM_CLOCK, Clock
from .correlation import from_event, idempotency_key_of
from .settings import DownstreamSettings, Settings
from .status import StatusLines
from .stores.dead_letters import DeadLetterQueue

__all__ = ["HandlerNotFound", "build", "find_handler", "print_line"]

Handler = Callable[[Any, Any], Any]


# Lambda reports an ImportError as Runtime.ImportModuleError, with its text: hence the base class.
class HandlerNotFound(ImportError):  # noqa: N818
    """The user's handler is not where ``RESILIENT_HANDLER`` says."""


def print_line(line: str) -> None:
    """Write one line to standard output at once.

    Flushed, because an invocation that is killed a moment later must leave its STARTED record behind. A line
    that cannot be written is given up: a completed message must not come back because a log is full.
    """
    try:
        out = sys.stdout
        # One write with its newline, so that threads cannot tear a line apart.
        out.write(line + "\n")
        out.flush()
    except Exception:  # noqa: BLE001, S110
        pass


def build(
    env: Mapping[str, str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    emit: Callable[[str], None] = print_line,
    dead_letters: DeadLetters | None = None,
) -> Handler:
    """The function that Lambda calls, as the environment variables describe it.

    :param clock: the time. Default: the machine's
    :param emit: takes each status record. Default: standard output
    :param dead_letters: where rejected messages go. Default: the queue that the settings name
    :raises ValueError: when the settings are missing or contradict each other
    :raises HandlerNotFound: when the user's module or function does not exist
    """
    settings = Settings.from_env(env)
    if settings.mode == "messages" and dead_letters is None and not settings.dead_letter_queue_url:
        raise ValueError(
            "RESILIENT_DEAD_LETTER_QUEUE_URL is not set: in mode 'messages' a rejected message needs "
            "a queue that keeps it"
        )
    function = find_handler(settings.handler)
    lines = StatusLines(
        service=settings.service,
        function_name=env.get("AWS_LAMBDA_FUNCTION_NAME") or settings.service,
        clock=clock,
    )
    downstreams = {one.name: one for one in settings.downstreams}
    boundary = _Recorded(lines, emit)
    if settings.mode == "event":
        return _per_event(function, lines=lines, emit=emit, downstreams=downstreams, boundary=boundary)
    return Batch(
        function,
        dead_letters=dead_letters or DeadLetterQueue(settings.dead_letter_queue_url or ""),
        lines=lines,
        emit=emit,
        downstreams=downstreams,
        boundary=boundary,
    ).run


def find_handler(path: str) -> Handler:
    """Import ``module.function``.

    :raises HandlerNotFound: when the module or function does not exist, or would not do its work when called
    :raises Exception: whatever the user's module raises while it is imported, unchanged
    """
    wanted = f"RESILIENT_HANDLER is {path!r}"
    module_name, dot, function_name = path.replace("/", ".").rpartition(".")
    if not dot or not module_name or not function_name:
        raise HandlerNotFound(f"{wanted}; allowed: module.function, for example 'delivery.deliver'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the handler's own module (or a package on the way to it) is ours to explain.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        where = ", ".join(entry or "." for entry in sys.path)
        raise HandlerNotFound(
            f"{wanted}, but there is no module {error.name!r}; looked in: {where}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        have = (
            ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")) or "none"
        )
        raise HandlerNotFound(
            f"{wanted}, but {getattr(module, '__file__', module_name)} has no function {function_name!r}; "
            f"it has: {have}"
        )
    # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR: read off the code, as importing inspect costs 10 ms.
    if getattr(getattr(function, "__code__", None), "co_flags", 0) & (0x20 | 0x80 | 0x200):
        raise HandlerNotFound(
            f"{wanted}, but {function_name} is asynchronous or a generator: calling it would do no work. "
            "Write a plain function, and use asyncio.run() inside where it needs to be asynchronous"
        )
    found: Handler = function
    return found


class _Recorded:
    """A boundary that lets every call pass and records how it went."""

    def __init__(self, lines: StatusLines, emit: Callable[[str], None]) -> None:
        self._lines = lines
        self._emit = emit

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        pass

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        self._emit(self._lines.called(call, downstream.name, seconds, error))


def _per_event(
    function: Handler,
    *,
    lines: StatusLines,
    emit: Callable[[str], None],
    downstreams: Mapping[str, DownstreamSettings],
    boundary: Boundary,
) -> Handler:
    """Mode ``event``: the user's function is called once, and what it returns or raises is left alone."""
    ticks = lines.clock.ticks

    def handle(event: Any, context: Any) -> Any:
        request_id = str(getattr(context, "aws_request_id", ""))
        call = Call(
            correlation_id=from_event(event, request_id=request_id),
            idempotency_key=idempotency_key_of(event, request_id=request_id),
            request_id=request_id,
            downstreams=downstreams,
            boundary=boundary,
            remaining=getattr(context, "get_remaining_time_in_millis", None),
            clock=lines.clock,
        )
        token = active_call.set(call)
        try:
            emit(lines.started(call))
            started = ticks()
            try:
                result = function(event, context)
            except BaseException as error:
                emit(lines.failed(call, ticks() - started, error))
                raise
            emit(lines.completed(call, ticks() - started))
            return result
        finally:
            active_call.reset(token)

    return handle
