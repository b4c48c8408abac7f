"""What the user's code wants done before an environment is cleaned, recycled, or shut down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["keep_in_tmp", "kept_in_tmp", "on_recycle", "registered", "run_callbacks"]

Callback = Callable[[], object]
_Function = TypeVar("_Function", bound=Callback)

_registered: list[Callback] = []
_kept: list[str] = []


def on_recycle(function: _Function) -> _Function:
    """Have ``function`` called before this environment is cleaned, recycled or shut down.

    It takes nothing, and closes what it can open again: pools, caches, background threads. It may be called
    several times, in another thread than the handler's, and no invocation runs meanwhile. Together the
    functions get one second, the last one registered first; an exception is told and goes no further.

    It can stand as a decorator: ``@on_recycle``.
    """
    if function not in _registered:
        _registered.append(function)
    return function


def keep_in_tmp(path: str) -> str:
    """Keep a file, or everything in a folder, when ``/tmp`` is cleaned; returns the path.

    Not needed for what is there when the first invocation ends, nor for open files: those are always kept.
    """
    import os

    full = os.path.abspath(path)  # noqa: PTH100  pathlib would be imported for this alone
    if full not in _kept:
        _kept.append(full)
    return path


def registered() -> bool:
    """Whether anything wants to be called."""
    return bool(_registered)


def kept_in_tmp() -> tuple[str, ...]:
    """The paths that must stay."""
    return tuple(_kept)


def run_callbacks(seconds: float, told: Callable[[str], None]) -> bool:
    """Call every function, for at most so many seconds together.

    They run in a thread of their own, because nothing else can be given up on: a pool that hangs while it is
    closed must not take the environment with it.

    :param told: takes a sentence about each function that failed
    :returns: whether all of them came to an end
    """
    if not _registered:
        return True
    import threading

    def run() -> None:
        for function in reversed(list(_registered)):
            try:
                function()
            except BaseException as error:  # noqa: BLE001  the next one must have its turn
                told(f"{_name(function)} raised {type(error).__name__}: {error}")

    thread = threading.Thread(target=run, name="resilient-recycle", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no thread is left: that may be the very leak
        told(f"nothing registered with on_recycle was called: {error}")
        return False
    thread.join(seconds)
    if thread.is_alive():
        told(f"what is registered with on_recycle took more than {seconds:g} s and was left behind")
        return False
    return True


def _name(function: Callback) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
