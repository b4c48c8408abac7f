"""Where a construct stands, remembered when it is made instead of asked for later.

A construct's stack and path cost round trips to Node each time. Our constructs know their scope when they
begin, so they note it here; what nobody noted is asked for once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from aws_cdk import Names, Stack
from constructs import Construct, IConstruct

from .tokens import is_token

__all__ = ["identity_of", "path_of", "path_within", "same_stack", "settle", "stack_of", "unique_name"]

_HASH = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    stack: Stack
    path: str | None
    """IDs from the stack down, by ``/``; None where a scope in between is not ours."""


_places: WeakKeyDictionary[IConstruct, _Place] = WeakKeyDictionary()
_stack_names: WeakKeyDictionary[Stack, str] = WeakKeyDictionary()


def settle(construct: IConstruct, scope: Construct, construct_id: str) -> None:
    """Note that ``construct`` was made in ``scope``; the first thing that our constructs do."""
    if isinstance(scope, Stack):
        _places[construct] = _Place(stack=scope, path=construct_id)
        return
    around = _places.get(scope)
    if around is not None:
        path = None if around.path is None else f"{around.path}/{construct_id}"
        _places[construct] = _Place(stack=around.stack, path=path)


def stack_of(construct: IConstruct) -> Stack:
    """The stack that ``construct`` is in."""
    if isinstance(construct, Stack):
        return construct
    place = _places.get(construct)
    if place is None:
        place = _places[construct] = _Place(stack=Stack.of(construct), path=None)
    return place.stack


def same_stack(one: IConstruct, other: IConstruct) -> bool:
    """Whether both are in the same stack."""
    return identity_of(stack_of(one)) == identity_of(stack_of(other))


def path_of(construct: IConstruct, otherwise: str) -> str:
    """The path of ``construct`` below its stack, for people to read; ``otherwise`` where it is not known."""
    place = _places.get(construct)
    return otherwise if place is None or place.path is None else place.path


def path_within(construct: IConstruct, other: IConstruct) -> str | None:
    """The path of ``construct`` below the stack that it shares with ``other``; None where that is not known.

    Costs no round trip: what was not noted by ``settle`` is not known.
    """
    place, around = _places.get(construct), _places.get(other)
    if place is None or around is None or identity_of(place.stack) != identity_of(around.stack):
        return None
    return place.path


def unique_name(construct: Construct, *, max_length: int, part: str = "") -> str:
    """A name of letters, digits and hyphens that no other construct of the app has.

    Begins with the stack's name and the construct's path, as far as they fit, and ends in a hash of both.

    :param part: tells several names of one construct apart. Default: it has one
    """
    place = _places.get(construct)
    if place is None or place.path is None:
        end = f"-{part}" if part else ""
        name = Names.unique_resource_name(construct, max_length=max_length - len(end), separator="-")
        return name + end
    whole = f"{_stack_name(place.stack)}/{place.path}{f'/{part}' if part else ''}"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", whole).strip("-")
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH]
    return f"{readable[: max_length - _HASH - 1].rstrip('-')}-{digest}"


def _stack_name(stack: Stack) -> str:
    name = _stack_names.get(stack)
    if name is None:
        given = stack.stack_name
        # a nested stack's name is only known to CloudFormation; its construct ID does as well
        name = _stack_names[stack] = stack.node.id if is_token(given) else given
    return name


def identity_of(construct: IConstruct) -> str:
    """What tells this construct from others: its identity in Node.

    The Python object of a stack may be collected and made anew while the stack lives on.
    """
    return str(construct.__jsii_ref__.ref)  # type: ignore[attr-defined]
