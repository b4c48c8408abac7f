"""The one error of this room."""

from __future__ import annotations

__all__ = ["SoakError"]


class SoakError(RuntimeError):
    """An execution environment cannot be started or go on; the message says why and what to do."""
