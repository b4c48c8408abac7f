"""Places in a document: ``$.customer.address``, ``$.items[*].note``, ``$[0]['post code']``, ``$..iban``.

A walk carries the places that may still lie below where it is. So the cost is that of the walk, and none
without paths.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["State", "below", "parse"]

_STEP = re.compile(
    r"""(?P<deep>\.)?\.(?P<name>[^.\[\]'"*\s]+|\*)"""
    r"""|\[(?:(?P<index>\d{1,9})|(?P<any>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]"""
)


class _Step(NamedTuple):
    """One step down: to a member, an item (None: any), and whether any number of levels may lie between."""

    to: str | int | None
    deep: bool


State = tuple[_Step, ...]
"""What of a path is still to go."""


def parse(path: str) -> State:
    """Read a path.

    :raises ValueError: when it is none
    """
    steps: list[_Step] = []
    at = 1
    if path.startswith("$"):
        while found := _STEP.match(path, at):
            steps.append(_Step(_target(found), found["deep"] is not None))
            at = found.end()
    if not steps or at != len(path):
        raise ValueError(f"{path!r} is no path; allowed: for example $.customer.address or $.items[*].note")
    return tuple(steps)


def below(states: tuple[State, ...], at: str | int) -> tuple[tuple[State, ...], bool]:
    """What is still to go below this member or item, and whether a path ends here."""
    ahead: list[State] = []
    for state in states:
        step = state[0]
        if step.deep:
            ahead.append(state)
        if step.to is None or (step.to == at and type(step.to) is type(at)):
            if len(state) == 1:
                return (), True
            ahead.append(state[1:])
    # Under ``..`` the same place may be reached in several ways.
    return tuple(dict.fromkeys(ahead)), False


def _target(found: re.Match[str]) -> str | int | None:
    if found["index"] is not None:
        return int(found["index"])
    if found["any"] is not None or found["name"] == "*":
        return None
    return found["name"] or found["single"] or found["double"] or ""
