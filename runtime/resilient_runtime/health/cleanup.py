"""The first rung: give back what nobody needs, without a new interpreter.

In this order: what the user's code and our own pools registered, Python's garbage collection (a socket in a
reference cycle is closed by nobody else), files in /tmp that this environment created and no process has
open, and memory that the C library keeps for later.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import NamedTuple

from .callbacks import kept_in_tmp, run_callbacks
from .names import pattern_of
from .tmp import Inventory, Removed, choose, held_files

__all__ = ["Cleaned", "clean", "collect_garbage"]


class Cleaned(NamedTuple):
    """What was done.

    :param unreachable: objects that the garbage collection found
    :param removed: what is gone from /tmp
    """

    unreachable: int
    removed: Removed


def clean(
    sick: tuple[str, ...],
    *,
    inventory: Inventory | None,
    enough: int,
    seconds: float,
    collect: Callable[[bool], int],
    told: Callable[[str], None],
) -> Cleaned:
    """Give back what nobody needs.

    :param sick: the resources that are over their threshold
    :param inventory: what was in /tmp at first; None where /tmp is not this environment's own
    :param enough: bytes that are to be freed in /tmp
    :param seconds: what registered functions may take together
    :param collect: collects garbage, and gives memory back to the system if it is told to
    :param told: takes a sentence about whatever went wrong
    """
    run_callbacks(seconds, told)
    unreachable = collect("memory" in sick)
    _reap()
    removed = Removed()
    if "tmp" in sick and inventory is not None:
        removed = clean_tmp(inventory, enough)
    return Cleaned(unreachable, removed)


def clean_tmp(inventory: Inventory, enough: int) -> Removed:
    """Remove new files that nobody has open, until so many bytes are free."""
    inventory.remember(kept_in_tmp())
    files = inventory.new_files()
    held = held_files(inventory.tmp) if files else None
    if held is None:
        return Removed()
    groups = {file.path: pattern_of(file.path) for file in files}
    return inventory.remove(choose(files, held, groups=groups, enough=enough))


def _reap() -> None:
    """Let go of processes that have ended and that nobody waited for, as their own modules do."""
    if (subprocess := sys.modules.get("subprocess")) is not None:
        subprocess._cleanup()
    if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
        multiprocessing.active_children()


def collect_garbage(give_back: bool) -> int:
    """Find what refers to itself alone; return freed memory to the system, where glibc has kept it.

    :returns: how many objects were found
    """
    unreachable = gc.collect()
    if not give_back:
        return unreachable
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):  # another C library, or none
        pass
    return unreachable
