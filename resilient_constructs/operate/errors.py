"""What ends a command early, in one clear line."""

from __future__ import annotations

__all__ = ["OperateError"]


class OperateError(Exception):
    """Something is missing or wrong; the text says what, and how to cure it."""
