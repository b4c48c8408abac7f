"""What ``resilient poison`` says to whoever uses it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence

from rich.table import Table

from .parked import Parked
from .poison import HELD_SECONDS
from .poison_entries import Entry

__all__ = ["hidden", "rows", "stuck", "waiting"]


def hidden(count: int, now: float) -> str:
    """That somebody holds messages, and when they are back at the latest if nobody does any more."""
    until = time.strftime("%H:%M", time.gmtime(now + HELD_SECONDS))
    return (
        f"{count} more are hidden: somebody is at work on them, or was. If nobody is any more, they can be"
        f" seen again by {until} UTC; SQS may count a minute late."
    )


def waiting(parked: Parked) -> str:
    """That a key could not go on, although all of it that could be seen is done."""
    return (
        f"key {parked.key!r} stays parked: it waits for {parked.record}, which was not here. Run the same"
        f" command again; if that is nowhere by then: {_to_free(parked)}"
    )


def stuck(parked: Parked) -> str:
    """That a key waits for nothing that can be seen."""
    return (
        f"key {parked.key!r} is parked, and nothing of it is in the store. Unless its record cannot be kept"
        f" just now (NOT_KEPT in the function's log): {_to_free(parked)}"
    )


def rows(found: Sequence[Entry]) -> Table:
    """Records, one a row."""
    shown = Table("id", "kind", "key", "stored", "reason", "error")
    for entry in found:
        told = entry.told
        shown.add_row(
            entry.id,
            str(told["kind"]),
            entry.key,
            str(told.get("stored_at", "")),
            str(told.get("reason", "")),
            str(entry.unreadable or told.get("error") or ""),
        )
    return shown


def _to_free(parked: Parked) -> str:
    return f"resilient poison free --key {shlex.quote(parked.key)} --table {parked.table} --reason …"
