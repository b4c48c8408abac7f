"""The two ways a demonstration ends early."""

from __future__ import annotations

__all__ = ["DemoError", "Interrupted"]


class DemoError(RuntimeError):
    """The demonstration cannot go on; the message says why and what to do."""


class Interrupted(BaseException):
    """A signal asked for the end. Like KeyboardInterrupt no Exception, so that nothing swallows it.

    :param number: the signal's number; the exit code is 128 + that, as a shell has it
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
