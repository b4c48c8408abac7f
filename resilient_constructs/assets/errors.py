"""The one error of this room."""

from __future__ import annotations

__all__ = ["AssetError"]


class AssetError(ValueError):
    """A code asset or a layer could not be built; the message says whose, why, and what to do."""
