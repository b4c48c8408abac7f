"""What is raised in a handler's place when it was not called; apart, so that to catch it loads nothing."""

from __future__ import annotations

__all__ = ["NotBegun"]


class NotBegun(Exception):  # noqa: N818  like Reject, it reads as a statement
    """The handler was not called, for no fault of what it would have been called with.

    :cvar is_of_this_alone: whether others may be begun meanwhile
    :cvar retry_after: seconds before which another try is for nothing; None where nobody knows
    """

    is_of_this_alone = False
    retry_after: float | None = None
