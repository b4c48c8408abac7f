"""What Python's threads are doing, as bounded text.

Put together by hand: ``traceback`` would be imported and sources would be read from disk, both at a moment
when there is hardly any time left.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Iterator, Mapping
from types import FrameType

__all__ = ["caller_below", "doing", "of_all_threads"]

_LONGEST = 8192
_MOST_FRAMES = 50
"""Per thread; the innermost are kept."""


def doing(frame: FrameType | None, entered: FrameType | None) -> str:
    """Where a handler is, in a phrase: its own line, and the innermost one below.

    :param frame: the innermost frame
    :param entered: the frame that called the handler
    """
    handler = None
    for one in _outwards(frame, entered):
        handler = one
    if frame is None or handler is None:
        return "outside of the handler's code"
    own = f"at {_place(handler)}"
    return own if handler is frame else f"{own}, waiting or working at {_place(frame)}"


def of_all_threads(frames: Mapping[int, FrameType], first: int, entered: FrameType | None) -> str:
    """The stacks of ``frames``, the most recent call first; the calling thread is left out.

    :param first: the handler's thread, which comes first and is told from the handler's function on
    :param entered: the frame that called the handler
    """
    text = _told("the handler's thread", frames.get(first), entered)
    names = _names()
    me = get_ident()
    for thread, frame in frames.items():
        if thread not in (first, me) and len(text) < _LONGEST:
            text += _told(f"thread {names.get(thread, thread)}", frame, None)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def caller_below(frame: FrameType | None, entered: FrameType | None, name: str) -> bool:
    """Whether a function called ``name`` is among what the handler is in."""
    return any(one.f_code.co_name == name for one in _outwards(frame, entered))


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


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"


def _names() -> Mapping[int, str]:
    # Not threading.enumerate(): its lock may be held by the very thread that is stuck.
    active = getattr(sys.modules.get("threading"), "_active", {})
    return {ident: str(getattr(thread, "name", ident)) for ident, thread in list(active.items())}
