"""A task's seconds: whole, and known at synth, because they stand in the state machine's definition."""

from __future__ import annotations

import math
from collections.abc import Callable

from aws_cdk import Duration

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token, seconds

from .limits import TASK_PAGE

__all__ = ["whole_seconds"]


def whole_seconds(
    prop: str, duration: Duration | None, default: float
) -> tuple[int, tuple[Callable[[Faults], None], ...]]:
    """The seconds, and what there is to complain of; halves are rounded up."""
    found = seconds(duration, default=default)
    if is_token(found):

        def complain(faults: Faults) -> None:
            faults.add(prop, "a token", "a duration known at synth", TASK_PAGE)

        return math.ceil(default), (complain,)
    return math.ceil(found), ()
