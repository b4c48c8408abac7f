"""What an invocation's answer means: a value, or an error as Lambda tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .processes import Figures

__all__ = ["InvocationError", "Reply", "read_answer"]

_ERROR_MEMBERS = {"errorMessage", "errorType", "requestId", "stackTrace"}
_OK = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class InvocationError:
    """Why an invocation failed, as Lambda tells it.

    :param type: an exception's class name, ``Runtime.ExitError`` for a process that ended,
        ``Sandbox.Timedout``, ``Runtime.ImportModuleError`` …
    :param message: what Lambda says
    :param stack: the handler's stack; empty where no Python code raised
    """

    type: str
    message: str
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What became of one invocation.

    :param value: what the handler returned; None when it failed
    :param error: why it failed; None when it did not
    :param seconds: from request to answer, seen from outside
    :param figures: what the runtime used afterwards; all None when its process had ended
    """

    value: Any
    error: InvocationError | None
    seconds: float
    figures: Figures


def read_answer(status: int, body: bytes) -> tuple[Any, InvocationError | None]:
    """The value or the error in an emulator's answer.

    Errors come with status 200 like values do, and are told apart by their four members, which the interface
    client always writes.
    """
    try:
        said = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace")
        kind = "Sandbox.Timedout" if text.startswith("Task timed out") else f"HTTP {status}"
        return None, InvocationError(type=kind, message=text)
    if isinstance(said, dict) and (status != _OK or said.keys() >= _ERROR_MEMBERS):
        return None, InvocationError(
            type=str(said.get("errorType")),
            message=str(said.get("errorMessage")),
            stack=tuple(map(str, said.get("stackTrace") or ())),
        )
    if status != _OK:
        return None, InvocationError(type=f"HTTP {status}", message=str(said))
    return said, None
