"""A handler that returned before its work was done."""

from __future__ import annotations

__all__ = ["refuse_unfinished"]


def refuse_unfinished(outcome: object) -> None:
    """Fail a message whose handler returned work that has not begun: deleting it would lose it."""
    kind = type(outcome)
    if hasattr(kind, "__await__") or hasattr(kind, "__anext__") or hasattr(kind, "gi_frame"):
        close = getattr(outcome, "close", None)
        if close is not None:
            close()
        raise TypeError(
            f"the handler returned a {kind.__name__}, so its work has not been done: write it as a "
            "plain function, and use asyncio.run() inside where it needs to be asynchronous"
        )
