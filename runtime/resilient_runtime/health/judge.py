"""When an environment is sick, and which cure comes next: decided from figures alone.

A figure is measured against the *headroom*, what lies between a fresh environment's use and the limit: a
function that needs 100 of its 128 MB from the start is not sick. Three things keep a cure from becoming the
disease: one that did not help is not repeated but followed by a stronger one; an environment that fills up
again at once waits longer the next time; and what a recycle did not free is not recycled for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from .probe import RESOURCES, Reading

__all__ = [
    "Abilities",
    "Course",
    "Rung",
    "after_cleaning",
    "after_recycling",
    "before_recycling",
    "fails_soon",
    "next_rung",
    "over",
    "trips",
]

Rung = Literal["none", "clean", "recycle", "exit"]

_CLEAN_AGAIN_AFTER = 64
"""Invocations after which a cleaning that did not help is tried again; sooner it finds the same."""

_SHORT_LIFE = 64
"""Invocations. Who is over the threshold again after so few leaks fast, or simply needs that much."""

_LONG_LIFE = 256
_HIGHEST_SHARE = 0.97
_LEAST_GAIN = 0.25
"""Of the headroom, above a fresh environment's use: less is not worth an interpreter's start."""

_HELPED = 0.25
"""Of what was in use above a fresh environment's: a cure that frees less did not help."""


class Course(NamedTuple):
    """What has been tried for one resource.

    :param share: the share of the headroom from which it is cured
    :param cleaned_at: the invocation at which cleaning last did not help; None while it helps
    :param incurable: whether a recycle did not free it
    """

    share: float
    cleaned_at: int | None = None
    incurable: bool = False


class Abilities(NamedTuple):
    """What may be done here, and can be.

    :param recycle: the interpreter can be re-executed between two invocations
    :param exit: the process may end at the start of an invocation, because its source repeats it
    """

    recycle: bool
    exit: bool


def trips(fresh: Reading, limits: Reading, courses: Mapping[str, Course]) -> Reading:
    """The figure of each resource from which it is cured."""
    return Reading(
        *(
            None if start is None or limit is None else _share_of(start, limit, courses[name].share)
            for name, start, limit in zip(RESOURCES, fresh, limits, strict=True)
        )
    )


def over(reading: Reading, trip: Reading) -> tuple[str, ...]:
    """The resources whose figure calls for a cure."""
    return tuple(
        name
        for name, used, at in zip(RESOURCES, reading, trip, strict=True)
        if used is not None and at is not None and used >= at
    )


def fails_soon(reading: Reading, fresh: Reading, limits: Reading, ahead: Reading) -> tuple[str, ...]:
    """The resources that the next invocations use up.

    What a fresh environment needs is not held against it: where little is in use above that, nobody can help.

    :param ahead: what those may take
    """
    return tuple(
        name
        for name, used, start, limit, more in zip(RESOURCES, reading, fresh, limits, ahead, strict=True)
        if used is not None
        and start is not None
        and limit is not None
        and used + (more or 0) >= limit
        and used - start >= _LEAST_GAIN * max(limit - start, 0)
        and used > start
    )


def next_rung(
    sick: tuple[str, ...],
    soon: tuple[str, ...],
    courses: Mapping[str, Course],
    can: Abilities,
    *,
    invocation: int,
    cleaned: bool = False,
) -> tuple[Rung, tuple[str, ...]]:
    """The cure that comes next, and for which resources.

    :param sick: the resources over their threshold
    :param soon: those of them that will fail within a few invocations
    :param cleaned: whether they have just been cleaned, and are still sick
    """
    dirty = tuple(
        name
        for name in sick
        if (at := courses[name].cleaned_at) is None or invocation - at >= _CLEAN_AGAIN_AFTER
    )
    if dirty and not cleaned:
        return "clean", dirty
    curable = tuple(name for name in sick if not courses[name].incurable)
    if curable and can.recycle:
        return "recycle", curable
    # Lambda keeps /tmp when a process ends, so ending it cures everything else only.
    dying = tuple(name for name in soon if name != "tmp")
    if dying and can.exit:
        return "exit", dying
    return "none", sick


def after_cleaning(course: Course, *, fresh: int, before: int, after: int, invocation: int) -> Course:
    """What is known once a cleaning is over."""
    helped = before - after >= _HELPED * (before - fresh)
    return course._replace(cleaned_at=None if helped else invocation)


def before_recycling(course: Course, *, lived: int, threshold: float) -> Course:
    """What the next interpreter is told.

    :param lived: invocations that this interpreter has served
    :param threshold: the share that the settings name
    """
    share = course.share
    if lived < _SHORT_LIFE:
        share = min(share + (1 - share) / 2, _HIGHEST_SHARE)
    elif lived >= _LONG_LIFE:
        share = threshold
    return Course(share=max(share, threshold), incurable=course.incurable)


def after_recycling(course: Course, *, fresh: int, before: int, after: int) -> Course:
    """What is known once the new interpreter has served its first invocation.

    :param fresh: a fresh environment's use, as the one before knew it
    """
    return course._replace(incurable=before - after < _HELPED * (before - fresh))


def _share_of(start: int, limit: int, share: float) -> int:
    return round(start + max(limit - start, 0) * share)
