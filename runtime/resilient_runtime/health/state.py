"""What one interpreter tells the next in the same environment, in one environment variable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .judge import Course
from .probe import RESOURCES, Reading

__all__ = ["STATE_VARIABLE", "State", "from_text"]

STATE_VARIABLE = "RESILIENT_HEALTH_STATE"


class State(NamedTuple):
    """What outlives an interpreter.

    :param born: when the environment's first interpreter started, in seconds since 1970
    :param invocations: how many the environment has served
    :param recycles: how often its interpreter was re-executed
    :param reason: why the last time
    :param at: when that was; 0 when never
    :param until: when the invocation ends in whose time it happened
    :param start: seconds that the re-execution is expected to take
    :param request_id: that invocation's
    :param before: what was in use then
    :param fresh: what a fresh environment uses
    :param courses: what has been tried, by resource
    :param told: when the leak of a resource was last told, by resource
    :param children: processes that it left behind, so that somebody sees them end
    :param failed_starts: how often this start has failed so far
    """

    born: float
    invocations: int = 0
    recycles: int = 0
    reason: str = ""
    at: float = 0.0
    until: float = 0.0
    start: float = 0.0
    request_id: str = ""
    before: Reading = Reading()
    fresh: Reading = Reading()
    courses: Mapping[str, Course] = {}
    told: Mapping[str, float] = {}
    children: tuple[int, ...] = ()
    failed_starts: int = 0

    def to_text(self, *, pid: int) -> str:
        """The variable's value, for the interpreter that this process becomes."""
        return json.dumps({"pid": pid, **self._asdict()}, separators=(",", ":"))


def from_text(text: str | None, *, born: float, pid: int | None = None) -> State:
    """Read it back; a fresh state where there is none, or it is another process's or unreadable.

    A process that the handler starts inherits the variable, but it is nobody's successor.
    """
    if not text:
        return State(born=born)
    try:
        found: dict[str, Any] = json.loads(text)
        if found.pop("pid") != (os.getpid() if pid is None else pid):
            return State(born=born)
        found["before"] = Reading(*found["before"])
        found["fresh"] = Reading(*found["fresh"])
        found["courses"] = {
            name: Course(*course) for name, course in found["courses"].items() if name in RESOURCES
        }
        found["children"] = tuple(found["children"])
        return State(**found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return State(born=born)
