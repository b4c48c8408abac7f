"""What a template asks for that will not be true locally, told before anything is deployed.

A pure function over synthesized templates: silence means that the local AWS is believed to do what AWS does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..template import StackTemplate

__all__ = ["Difference", "differences", "rejected"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing that AWS does and the local AWS does not.

    :param stack: the stack's name
    :param resource: where it was asked for, as a construct path
    :param type: the CloudFormation type
    :param property: the property, or None where it is the whole resource
    :param because: what happens locally instead
    """

    stack: str
    resource: str
    type: str
    property: str | None
    because: str

    def __str__(self) -> str:
        where = f"{self.type}.{self.property}" if self.property else self.type
        return f"{self.stack}/{self.resource}: {where}: {self.because}"


def differences(stacks: Iterable[StackTemplate]) -> list[Difference]:
    return []


def rejected(stacks: Iterable[StackTemplate]) -> list[Difference]:
    return []
