"""What Python's threads are doing, as bounded text.

Put together by hand: ``traceback`` would have to be imported and would read sources from the disk, at a
moment when there is hardly any time left.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Iterator, Mapping
from types import FrameType

from .traces import user_frames

__all__ = ["doing", "in_finalizer", "of_all_threads"]

_LONGEST = 8192
_MOST_FRAMES = 50
"""Per thread; the innermost are kept."""


def doing(frame: FrameType | None, entered: FrameType | None, *, home: str = "") -> str:
    """Where a handler is, in a phrase: the innermost line of the user's own, and what that waits in.

    :param frame: the innermost frame
    :param entered: the frame that called the handler
    :param home: the folder of the user's code; the files in it are named relative to it
    """
    frames = [(one.f_code.co_filename, one.f_lineno, one.f_code.co_name) for one in _outwards(frame, entered)]
    if not frames:
        return "outside of the handler's code"
    file, line, function = frames[0]
    innermost = f":{line} in {function}"
    own = user_frames(frames, home=home)
    if own and own[0].endswith(innermost):
        return own[0]
    return f"{own[0]}, which is in {file}{innermost}" if own else f"{file}{innermost}"


def of_all_threads(frames: Mapping[int, FrameType], first: int, entered: FrameType | None) -> str:
    """The stacks of ``frames``, the most recent call first; the calling thread, which watches, is left out.

    :param first: the handler's thread, which comes first and is told from the handler's function on
    :param entered: the frame that called the handler
    """
    text = _told("the handler's thread", frames.get(first), entered)
    # Not threading.enumerate(): its lock may be held by the very thread that is stuck.
    active = getattr(sys.modules.get("threading"), "_active", {})
    for thread, frame in frames.items():
        if thread not in (first, get_ident()) and len(text) < _LONGEST:
            text += _told(f"thread {getattr(active.get(thread), 'name', thread)}", frame, None)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def in_finalizer(frame: FrameType | None, entered: FrameType | None) -> bool:
    """Whether a ``__del__`` is among what the handler is in."""
    return any(one.f_code.co_name == "__del__" for one in _outwards(frame, entered))


def _outwards(frame: FrameType | None, entered: FrameType | None) -> Iterator[FrameType]:
    while frame is not None and frame is not entered:
        yield frame
        frame = frame.f_back


def _told(who: str, frame: FrameType | None, entered: FrameType | None) -> str:
    lines = [f"{who} (most recent call first):\n"]
    for one in _outwards(frame, entered):
        if len(lines) > _MOST_FRAMES:
            lines.append("  …\n")
            break
        code = one.f_code
        lines.append(f'  File "{code.co_filename}", line {one.f_lineno}, in {code.co_qualname}\n')
    return "".join(lines)
