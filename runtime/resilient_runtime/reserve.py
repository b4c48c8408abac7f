"""A few open descriptors that are given up when all others are used, so that this can be told and cured.

What tells a failure, says what leaked and cleans up is imported late, and reads files. A handler that runs
into *Too many open files* has left nothing to do that with: without a reserve, just the failures that this
runtime is there for would be silent, and the environment would fail for ever.
"""

from __future__ import annotations

import os

__all__ = ["Reserve"]

_SIZE = 4
"""An import opens one file at a time, and so does what reads /proc; the others are for the user's threads."""


class Reserve:
    """Holds descriptors back from the handler.

    :param size: how many. Default: 4
    """

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._held: list[int] = []
        self.renew()

    def __del__(self) -> None:
        # A test may build a thousand environments in one process.
        self.release()

    @property
    def held(self) -> int:
        """How many descriptors are held back now."""
        return len(self._held)

    def release(self) -> None:
        """Give them up: whoever opens something next gets them."""
        while self._held:
            os.close(self._held.pop())

    def renew(self) -> None:
        """Hold back as many again, or as many as can be had."""
        try:
            while len(self._held) < self._size:
                self._held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return
