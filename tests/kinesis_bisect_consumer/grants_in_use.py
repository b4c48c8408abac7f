"""Which grants of a deployed consumer a run needed."""

from __future__ import annotations

from resilient_constructs.local import LocalAws
from resilient_constructs.local.permissions import policies_of, prove

__all__ = ["denied_and_unused"]


def denied_and_unused(aws: LocalAws, stack: str) -> tuple[list[tuple[str, str, str]], set[str]]:
    """The calls that AWS would have refused; and what the roles may do and did not do, but for logs.

    Of a queue it is said whether it is one of dead letters.
    """
    proof = prove(aws, [stack])
    denied = [(call.principal, call.action, call.resource) for call in proof.denied]
    roles = {
        owner: "resolver" if "Resolver" in owner else "function"
        for owner in {one.owner for one in policies_of(aws, [stack])}
        if "-Orders" in owner and "Role" in owner
    }
    assert sorted(roles.values()) == ["function", "resolver"]
    unused = {
        f"{roles[one.owner]} {one.action}{' of dead letters' * ('deadletter' in one.resource.lower())}"
        for one in proof.unused
        if one.owner in roles and not one.action.startswith(("logs:", "xray:"))
    }
    return denied, unused
