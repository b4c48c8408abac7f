"""Values that CloudFormation fills in later, told apart from values known at synth, in few round trips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

from .limits import _is_token

if TYPE_CHECKING:
    from aws_cdk import Duration

__all__ = ["Pseudo", "is_token", "pseudo", "seconds"]


def is_token(value: object) -> bool:
    """Whether a string or number is an unresolved CDK token (a parameter, an import, an attribute)."""
    return _is_token(value)


def seconds(duration: Duration | None, *, default: float) -> float:
    """The duration in seconds, or ``default`` where none was given.

    A duration made from a CloudFormation parameter comes back as a number token: it may be handed on to a
    CloudFormation property as it is, but nothing can be computed from it. Ask ``is_token`` first. Half
    seconds stay halves, so that the room's own limit can refuse them by name.

    :raises TypeError: for a plain number, whose unit nobody knows
    """
    if duration is None:
        return default
    if isinstance(duration, (int, float)):
        raise TypeError(f"{duration!r} is no Duration; say Duration.seconds({duration!r})")
    return duration.to_seconds(integral=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pseudo:
    """CloudFormation's pseudo parameters, read once per process: each read is a round trip to Node."""

    partition: str
    region: str
    account: str
    stack_name: str
    url_suffix: str

    def words(self) -> Mapping[str, str]:
        """What each token stands for."""
        return {getattr(self, each.name): each.name for each in fields(self)}


@cache
def pseudo() -> Pseudo:
    """The pseudo parameters as tokens; they are the same for every app of the process."""
    from aws_cdk import Aws

    return Pseudo(
        partition=Aws.PARTITION,
        region=Aws.REGION,
        account=Aws.ACCOUNT_ID,
        stack_name=Aws.STACK_NAME,
        url_suffix=Aws.URL_SUFFIX,
    )
