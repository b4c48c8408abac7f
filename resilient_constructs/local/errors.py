"""The one error of the local AWS: what is wrong on this machine, and the remedy."""

from __future__ import annotations

__all__ = ["LocalAwsError"]


class LocalAwsError(RuntimeError):
    """The local AWS cannot start, deploy or go on; the message says why and what to do about it."""
