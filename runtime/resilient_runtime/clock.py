"""Time as a value that is handed in, so that every decision can be tested without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock(NamedTuple):
    """The two clocks of a machine.

    :param wall: seconds since 1970, for timestamps; may jump
    :param ticks: seconds from an arbitrary start, for durations; never goes back
    """

    wall: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.perf_counter


SYSTEM_CLOCK = Clock()
