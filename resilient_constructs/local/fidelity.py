"""What a template asks for that will not be true locally, told before anything is deployed.

A pure function over synthesized templates. Silence has to be earned: a property is passed over only when
``honoured.py`` lists it, which a probe stands behind; what nobody has looked at is told as such.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from resilient_constructs.template import Resource, StackTemplate, walk

from .honoured import DIFFERENT, HONOURED, INERT, NESTED

__all__ = ["Difference", "differences", "rejected"]

_UNPROBED_TYPE = "nobody has compared this resource type with AWS; the emulator may ignore some of it"
_UNPROBED_PROPERTY = "nobody has compared this property with AWS; the emulator may ignore it"
_NO_AUTH = "IAM is not enforced: whatever a policy does not grant works all the same"
_POLICY_TYPES = frozenset(
    {"AWS::IAM::Policy", "AWS::IAM::Role", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing that AWS does and the local AWS does not.

    :param stack: the stack's name
    :param type: the CloudFormation type
    :param property: the property's path, or None where it is the whole resource
    :param because: what happens locally instead
    :param resources: which resources ask for it, as construct paths
    """

    stack: str
    type: str
    property: str | None
    because: str
    resources: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the terminal."""
        what = f"{self.type}.{self.property}" if self.property else self.type
        where = (
            self.resources[0] if len(self.resources) == 1 else f"{self.stack}, {len(self.resources)} times"
        )
        return f"{what} ({where}): {self.because}"


def differences(stacks: Iterable[StackTemplate], *, auth: bool = True) -> list[Difference]:
    """What these templates ask for that will not be true locally, the same thing told once per stack.

    :param stacks: synthesized templates
    :param auth: whether the local AWS enforces IAM
    """
    found: dict[tuple[str, str, str | None, str], list[str]] = {}
    for stack in stacks:
        for resource in stack.resources.values():
            for name, because in _of(resource, auth=auth):
                found.setdefault((stack.name, resource.type, name, because), []).append(resource.label)
    return [
        Difference(stack=stack, type=kind, property=name, because=because, resources=tuple(resources))
        for (stack, kind, name, because), resources in found.items()
    ]


def rejected(stacks: Iterable[StackTemplate], *, supported: Collection[str]) -> list[Difference]:
    """The resources whose type the local AWS cannot make.

    :param stacks: synthesized templates
    :param supported: the types it can make
    """
    return [
        Difference(
            stack=stack.name,
            type=resource.type,
            property=None,
            because="the local AWS has no such resource type",
            resources=(resource.label,),
        )
        for stack in stacks
        for resource in stack.resources.values()
        if resource.type not in supported
        and not resource.type.startswith(("Custom::", "AWS::CloudFormation::"))
    ]


def _of(resource: Resource, *, auth: bool) -> Iterator[tuple[str | None, str]]:
    if not auth and resource.type in _POLICY_TYPES:
        yield None, _NO_AUTH
    honoured = HONOURED.get(resource.type)
    if honoured is None:
        yield None, _UNPROBED_TYPE
        return
    different = DIFFERENT.get(resource.type, {})
    if None in different:
        yield None, different[None]
        if not honoured:
            return  # all of it is different, its properties too
    for name in resource.properties:
        if name in different:
            yield name, different[name]
        elif name not in honoured and name not in INERT:
            yield name, _UNPROBED_PROPERTY
    yield from _nested(resource)


def _nested(resource: Resource) -> Iterator[tuple[str, str]]:
    """Differences that depend on a value or lie deeper than a property."""
    told: set[str] = set()
    for rule in NESTED.get(resource.type, ()):
        for path, value in walk(dict(resource.properties)):
            general = ".".join(part for part in path.split(".") if not part.isdigit())
            if general == rule.path and rule.applies(value) and rule.because not in told:
                told.add(rule.because)
                yield rule.path, rule.because
