"""IAM policy statements as values, and whether one of them covers a call. Pure.

A small evaluator of our own: moto's does not know conditions, and the emulator's is the one that is checked.
An operator that it does not know it refuses loudly instead of guessing; a key that was not recorded with the
call counts as absent from the request, which no positive operator fits.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

__all__ = ["Grant", "Statement", "covers", "role_of", "statements_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One statement of a policy.

    :param owner: ARN of the role or the resource whose policy it is in
    :param policy: the policy's name, for people
    :param effect: ``Allow`` or ``Deny``
    :param actions: action patterns
    :param resources: resource patterns
    :param principals: who it is about, in a resource policy: ``*``, ``AWS:<arn>``, ``Service:<name>``; empty
        in an identity policy
    :param conditions: the condition block
    """

    owner: str
    policy: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: tuple[str, ...] = ()
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Every action with every resource that the statement allows; nothing for a Deny."""
        if self.effect != "Allow":
            return ()
        return tuple(
            Grant(owner=self.owner, policy=self.policy, action=action, resource=resource, to=self.principals)
            for action in self.actions
            for resource in self.resources
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One action on one resource that a policy allows.

    :param owner: ARN of the role or the resource whose policy it is in
    :param policy: the policy's name
    :param action: the action's pattern
    :param resource: the resource's pattern
    :param to: to whom, in a resource policy
    """

    owner: str
    policy: str
    action: str
    resource: str
    to: tuple[str, ...] = ()

    @property
    def broad(self) -> bool:
        """Whether it names no single action or no single resource."""
        return "*" in self.action or self.resource == "*"

    def __str__(self) -> str:
        """One line for an assertion."""
        whom = f" to {', '.join(self.to)}" if self.to else ""
        return f"{self.owner.rsplit(':', 1)[-1]}: {self.policy}: {self.action} on {self.resource}{whom}"


def statements_of(document: Mapping[str, Any], *, owner: str, policy: str) -> list[Statement]:
    """The statements of a policy document.

    :raises ValueError: when a statement has NotAction, NotResource or NotPrincipal, which grant what nobody
        listed and have no place in a least-privilege policy
    """
    found = []
    for raw in _listed(document.get("Statement", [])):
        if not raw.keys().isdisjoint({"NotAction", "NotResource", "NotPrincipal"}):
            raise ValueError(f"{policy} of {owner} has a NotAction, NotResource or NotPrincipal")
        found.append(
            Statement(
                owner=owner,
                policy=raw.get("Sid") or policy,
                effect=raw["Effect"],
                actions=tuple(_listed(raw.get("Action", []))),
                resources=tuple(_listed(raw.get("Resource", owner))),
                principals=_principals(raw.get("Principal")),
                conditions=raw.get("Condition", {}),
            )
        )
    return found


def covers(
    statement: Statement, *, principal: str, action: str, resource: str, context: Mapping[str, Any]
) -> Grant | None:
    """The grant or denial of the statement that the call falls under; None when it does not.

    :param principal: a role's ARN or a service principal
    :raises ValueError: when a condition uses an operator that is not known here
    """
    if statement.principals and not _names(statement.principals, principal):
        return None
    for wanted in statement.actions:
        if not matches(wanted.lower(), action.lower()):
            continue
        for place in statement.resources:
            if matches(place, resource) and _met(statement.conditions, context):
                return Grant(
                    owner=statement.owner,
                    policy=statement.policy,
                    action=wanted,
                    resource=place,
                    to=statement.principals,
                )
    return None


def role_of(principal: str) -> str:
    """The role's ARN of an assumed role's; any other principal as it is."""
    found = re.fullmatch(r"arn:([^:]*):sts::(\d+):assumed-role/([^/]+)/.*", principal)
    return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}" if found else principal


def matches(pattern: str, value: str) -> bool:
    """Whether a value fits a pattern with IAM's ``*`` and ``?``."""
    return bool(_compiled(pattern).fullmatch(value))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), re.S)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _principals(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if value == "*":
        return ("*",)
    return tuple(f"{kind}:{name}" for kind, names in value.items() for name in _listed(names))


def _names(principals: tuple[str, ...], principal: str) -> bool:
    account = re.fullmatch(r"arn:[^:]*:iam::(\d+):.*", principal)
    same_account = {f"AWS:arn:aws:iam::{account[1]}:root", f"AWS:{account[1]}"} if account else set()
    return any(
        named in {"*", "AWS:*", f"AWS:{principal}", f"Service:{principal}"} or named in same_account
        for named in principals
    )


def _met(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, Any]) -> bool:
    known = {key.lower(): value for key, value in context.items()}
    return all(
        _one_met(operator, known.get(key.lower()), [str(value) for value in _listed(expected)])
        for operator, block in conditions.items()
        for key, expected in block.items()
    )


def _one_met(operator: str, actual: Any, expected: list[str]) -> bool:
    name = operator.removesuffix("IfExists")
    if name == "Null":
        return (actual is None) == (expected[0].lower() == "true")
    if name not in _OPERATORS:
        raise ValueError(f"the condition operator {operator!r} is not known here")
    if actual is None:
        # A key that the request lacks fits no positive operator, and every negative one.
        return operator.endswith("IfExists") or "Not" in name
    positive = _OPERATORS[name.replace("Not", "")]
    found = any(positive(value, str(actual)) for value in expected)
    return not found if "Not" in name else found


def _same(expected: str, actual: str) -> bool:
    return expected == actual


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringNotEquals": _same,
    "StringLike": matches,
    "StringNotLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "ArnNotEquals": matches,
    "ArnNotLike": matches,
    "Bool": lambda expected, actual: expected.lower() == actual.lower(),
}
