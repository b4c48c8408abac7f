"""Values that CloudFormation fills in later, told apart from values known at synth, in few round trips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import _is_token

if TYPE_CHECKING:
    from aws_cdk import Duration

__all__ = ["is_token", "seconds"]


def is_token(value: object) -> bool:
    """Whether a string or number is an unresolved CDK token (a parameter, an import, an attribute)."""
    return _is_token(value)


def seconds(duration: Duration | None, *, default: float) -> float:
    """The duration in seconds, or ``default`` where none was given.

    A duration made from a CloudFormation parameter comes back as a number token: it may be handed on to a
    CloudFormation property as it is, but nothing can be computed from it. Ask ``is_token`` first. Half
    seconds stay halves, so that the room's own limit can refuse them by name.
    """
    if duration is None:
        return default
    return duration.to_seconds(integral=False)
