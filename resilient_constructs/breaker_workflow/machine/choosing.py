"""Choice states."""

from __future__ import annotations

from typing import Any

from .jsonata import expression

__all__ = ["choice", "rule"]


def choice(comment: str, rules: list[dict[str, Any]], otherwise: str) -> dict[str, Any]:
    """A Choice state."""
    return {"Comment": comment, "Type": "Choice", "Choices": rules, "Default": otherwise}


def rule(condition: str, then: str, assign: dict[str, Any] | None = None) -> dict[str, Any]:
    """One of its rules; the first whose condition holds is taken."""
    taken: dict[str, Any] = {"Condition": expression(condition), "Next": then}
    return {**taken, "Assign": assign} if assign else taken
