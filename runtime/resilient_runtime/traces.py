"""Where an exception passed: its stack as text, and the user's own frames of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from .cutting import beginning

__all__ = ["frames_of", "stack_of", "user_frames"]

_LONGEST = 8192
_LONGEST_MESSAGE = 4096
_MOST_FRAMES = 5
_OURS = os.path.dirname(__file__)  # noqa: PTH120  importing pathlib costs a cold start 5 ms
# Where Python, the layers and whatever was installed lie; the rest is the user's.
# https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html#packaging-layers-paths
_INSTALLED = ("/opt/", "/var/runtime/", "/var/lang/", f"{sys.base_prefix}/lib", f"{sys.prefix}/lib")

_Frame = tuple[str, int, str]


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
            shown, more = beginning(entry, _LONGEST_MESSAGE, beyond=_LONGEST_MESSAGE, hide=text)
            if more or len(shown) > _LONGEST_MESSAGE:
                shown = f"{shown[:_LONGEST_MESSAGE]}…\n"
        kept.append(shown)
        length += len(shown)
        if length > _LONGEST:
            break
    stack = "".join(reversed(kept))
    return stack if len(stack) <= _LONGEST else f"…{stack[-_LONGEST:]}"


def frames_of(trace: TracebackType | None) -> Iterator[_Frame]:
    """Where an exception passed, innermost first."""
    every: list[_Frame] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        every.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return reversed(every)


def user_frames(frames: Iterable[_Frame], *, home: str) -> list[str]:
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
