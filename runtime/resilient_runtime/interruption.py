"""What is raised when an invocation's time is up: inside the handler, and to Lambda."""

from __future__ import annotations

from types import TracebackType

from .watchdog import Watchdog

__all__ = ["DeadlineExceeded", "InvocationTimedOut", "exceeded_in", "timed_out"]


# It says what happened, like KeyboardInterrupt; and it must not be an Exception.
class DeadlineExceeded(BaseException):
    """The handler's time is up; Lambda ends the invocation in a moment.

    A ``BaseException``, so that ``except Exception`` in a retry loop does not swallow it. Catch it to return
    what is done so far; clean up in ``finally`` or ``with``, within about half of the margin.
    """


# What Lambda shows as the errorType; a plain statement as the others.
class InvocationTimedOut(Exception):  # noqa: N818
    """The invocation was ended by its deadline, before Lambda's timeout.

    An ``Exception``, as a ``DeadlineExceeded`` that left the handler would end the execution environment.
    """


def exceeded_in(error: BaseException) -> DeadlineExceeded | None:
    """The deadline's exception in ``error``: itself, or inside what ``asyncio.TaskGroup`` made of it."""
    if isinstance(error, DeadlineExceeded):
        return error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            found = exceeded_in(one)
            if found is not None:
                return found
    return None


def timed_out(error: BaseException) -> InvocationTimedOut:
    """What leaves to Lambda in place of ``error``, with the handler's stack."""
    found = exceeded_in(error)
    return InvocationTimedOut(str(found or error)).with_traceback(_without_ours(error.__traceback__))


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """``trace`` without the frames at its end in which the exception was made."""
    last = trace
    while last is not None and last.tb_next is not None:
        if last.tb_next.tb_frame.f_code is Watchdog.on_signal.__code__:
            last.tb_next = None
        else:
            last = last.tb_next
    return trace
