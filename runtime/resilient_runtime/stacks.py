"""Where code was: an exception's stack, the user's own frames of it, and what every thread is doing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType

__all__ = ["Frame", "frames_above", "frames_of", "stack_of", "stacks_of_threads", "user_frames"]

_LONGEST = 8192
_LONGEST_MESSAGE = 4096
_MOST_FRAMES = 5
_MOST_LINES = 32
_OURS = os.path.dirname(__file__)  # noqa: PTH120  importing pathlib costs a cold start 5 ms
# Where Python, the layers and whatever was installed lie; the rest is the user's.
# https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html#packaging-layers-paths
_INSTALLED = ("/opt/", "/var/runtime/", "/var/lang/", f"{sys.base_prefix}/lib", f"{sys.prefix}/lib")

Frame = tuple[str, int, str]
"""File, line and function."""


def stack_of(error: BaseException, *, text: Callable[[str], str], code: Callable[[str], str]) -> str:
    """The stack as Python prints it, its end where it is too long.

    :param text: hides what is secret in a message
    :param code: the same for a line of source code
    """
    import traceback  # only a failure needs it

    # The first frame is ours; the handler's own begin behind it.
    below = error.__traceback__.tb_next if error.__traceback__ else None
    kept: list[str] = []
    length = 0
    for entry in reversed(traceback.format_exception(type(error), error, below)):
        if entry.lstrip(" |+-").startswith('File "'):
            shown = code(entry)
        else:
            shown = text(entry[: _LONGEST_MESSAGE + 256])[:_LONGEST_MESSAGE]
            if len(entry) > len(shown) and not shown.endswith("\n"):
                shown += "…\n"
        kept.append(shown)
        length += len(shown)
        if length > _LONGEST:
            break
    stack = "".join(reversed(kept))
    return stack if len(stack) <= _LONGEST else f"…{stack[-_LONGEST:]}"


def frames_of(trace: TracebackType | None) -> Iterator[Frame]:
    """Where an exception passed, innermost first."""
    every: list[Frame] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        every.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return reversed(every)


def frames_above(frame: FrameType | None) -> Iterator[Frame]:
    """A frame and its callers."""
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back


def user_frames(frames: Iterable[Frame], *, home: str) -> list[str]:
    """At most five of the user's own frames as ``shop/delivery.py:12 in deliver``, innermost first.

    Python's, this runtime's and installed packages' are left out; where there are no others, an installed
    package's are better than nothing.

    :param home: the folder of the user's code; the files in it are named relative to it
    """
    own: list[str] = []
    others: list[str] = []
    for file, line, function in frames:
        if file.startswith((_OURS, "<frozen")):
            continue
        inside = bool(home) and file.startswith(home)
        installed = "-packages/" in file or (not inside and file.startswith(_INSTALLED))
        name = file[len(home) :].lstrip("/") if inside else file
        (others if installed else own).append(f"{name}:{line} in {function}")
        if len(own) == _MOST_FRAMES:
            break
    return own or others[:_MOST_FRAMES]


def stacks_of_threads(interrupted: FrameType | None = None) -> str:
    """What every thread is doing, innermost frame first, the interrupted thread first of all."""
    import _thread  # not threading: a program that has one thread need not have imported it

    own = _thread.get_ident()
    threading = sys.modules.get("threading")
    names = {} if threading is None else {one.ident: one.name for one in threading.enumerate()}
    stacks: list[str] = []
    every = sys._current_frames()
    for thread in sorted(every, key=lambda one: one != own):
        frame = interrupted if thread == own and interrupted is not None else every[thread]
        lines = [f"  {file}:{line} in {function}" for file, line, function in frames_above(frame)]
        stacks.append("\n".join([f"{names.get(thread, thread)}:", *lines[:_MOST_LINES]]))
    text = "\n".join(stacks)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
