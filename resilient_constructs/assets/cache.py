"""Built archives by key, in the user's cache folder; safe for several processes at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .archive import seal_of
from .errors import AssetError

__all__ = ["CACHE", "cache_folder", "cached"]

CACHE = "RESILIENT_CACHE"
"""The folder for built assets. Default: ``resilient-constructs`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""


def cache_folder() -> Path:
    """Where built archives are kept; everything in it can be deleted at any time."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "resilient-constructs"


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The sealed archive of this name, built first where it is missing or was cut short.

    Built aside and renamed into place: two processes at once both build, and either result is whole. The
    road not taken is a lock file, which a killed process leaves behind.

    :param build: writes a sealed archive to the path it is given
    :raises AssetError: when the cache folder cannot be written
    """
    folder = cache_folder()
    path = folder / name
    if seal_of(path) is not None:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=folder, prefix=".unfinished-", suffix=".zip")
    except OSError as error:
        raise AssetError(
            f"the asset cache {folder} cannot be written ({error}); name another folder in {CACHE}"
        ) from error
    os.close(handle)
    aside = Path(unfinished)
    try:
        build(aside)
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path
