"""Every AWS call of a run as a value: who did what to which resource, and whether IAM allowed it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Call", "read_calls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One AWS call.

    :param principal: the caller: a role's ARN, an assumed role's or a user's ARN, an account's root, or a
        service principal such as ``events.amazonaws.com``
    :param action: IAM's name of it, ``sqs:SendMessage``
    :param resource: ARN of what it was done to, ``*`` where IAM knows none
    :param allowed: whether the emulator let it pass
    :param context: condition keys that AWS would set, ``aws:SourceArn`` for example
    :param at: seconds since the epoch
    """

    principal: str
    action: str
    resource: str
    allowed: bool
    context: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0


def read_calls(path: Path) -> list[Call]:
    """The calls recorded in a file; none when nothing was recorded yet."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [Call(**json.loads(line)) for line in lines if line.endswith("}")]
