"""Python values and texts as JSONata."""

from __future__ import annotations

import json

__all__ = ["expression", "literal"]


def expression(text: str) -> str:
    """A text as Step Functions evaluates it; on one line, as JSON shows a break as ``\\n``."""
    return f"{{% {' '.join(text.split())} %}}"


def literal(value: object) -> str:
    """A value of JSON inside an expression."""
    return json.dumps(value)
