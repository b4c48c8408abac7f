"""When a value is old, when to ask for a new one, and how long to leave a failing store alone. All pure.

A value is asked for again after 70 to 90 % of its life, at a moment that each environment draws for itself:
a thousand environments that were started by the same burst must not come back to the store together. What is
past 70 % by then is asked for too, so that values that live equally long share their calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "Life",
    "Moment",
    "due",
    "later",
    "patience",
    "pause_after",
    "refresh_after",
    "seconds_since",
    "seconds_until",
]

_EARLIEST = 0.7
_LATEST = 0.9

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0

LONGEST_REFRESH = 10.0
"""Seconds after which a refresh that was given the processor has ended, whatever its store does: two attempts
of one second to connect and two to read, for each of at most a few calls."""

_PATIENCE = 0.5


class Moment(NamedTuple):
    """A point in time on both clocks of a machine.

    Lambda freezes an environment between invocations, and nothing says which of its clocks goes on meanwhile.
    """

    wall: float
    ticks: float


class Life(NamedTuple):
    """How long one value has lived, and may live.

    :param name: whose life it is
    :param age: seconds since it was asked for
    :param refresh_after: the age at which to ask again
    :param expires_after: the age at which it is old
    """

    name: str
    age: float
    refresh_after: float
    expires_after: float


def seconds_since(then: Moment, now: Moment) -> float:
    """How long ago ``then`` was, by the clock that says longer: a clock that stood still must not win."""
    return max(now.wall - then.wall, now.ticks - then.ticks, 0.0)


def seconds_until(then: Moment, now: Moment) -> float:
    """How long it is until ``then``, by the clock that says shorter."""
    return min(then.wall - now.wall, then.ticks - now.ticks)


def later(now: Moment, seconds: float) -> Moment:
    """So many seconds after ``now``."""
    return Moment(now.wall + seconds, now.ticks + seconds)


def refresh_after(expires_after: float, chance: float) -> float:
    """The age at which a value is asked for again.

    :param chance: 0 to 1, drawn by this environment
    """
    return expires_after * (_EARLIEST + (_LATEST - _EARLIEST) * chance)


def due(lives: Iterable[Life]) -> list[str]:
    """The values to ask for now: none until one is due, and then all that would be due soon."""
    known = list(lives)
    if not any(life.age >= life.refresh_after for life in known):
        return []
    return [life.name for life in known if life.age >= life.expires_after * _EARLIEST]


def pause_after(failures: int, chance: float) -> float:
    """Seconds to leave the store alone after so many failures in a row: 1, 2, 4 … 60, less up to a half.

    Full jitter would be kinder to the store, but may be zero, and then a failing store is asked on each use.

    :param chance: 0 to 1, drawn anew each time
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + 0.5 * chance)


def patience(*, expired: bool, since_last_look: float) -> float:
    """Seconds that this invocation waits for a refresh in progress: none, but for one case.

    An environment that slept past its values' expiry begins with old ones, and a refresh in the background of
    an invocation of few milliseconds is frozen before it ends, over and over. So the first invocation after
    such a pause waits a little. One that follows soon after another never does, however the store is.

    :param expired: whether a value is past its life
    :param since_last_look: seconds since the invocation before this one began
    """
    return _PATIENCE if expired and since_last_look >= LONGEST_REFRESH else 0.0
