"""The handler around the handler: it runs inside the soaked environment and answers the soaker's questions.

An event with the member ``resilient_soak`` is a question, everything else goes through untouched. While leaks
are looked for, that is all there is, so that what is measured is the handler alone. In the second run, which
explains (``RESILIENT_SOAK_EXPLAIN``), an audit hook notes who opens what, and tracemalloc who allocates.

It stands alone: the function's environment has nothing of this library but what the user's code brings.
https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["handler"]

_EXPLAINS = "RESILIENT_SOAK_EXPLAIN" in os.environ
_ROOT = os.environ.get("LAMBDA_TASK_ROOT", "/var/task") + "/"
_TMP = "/tmp"  # noqa: S108 (Lambda's, by name)
_MOST_NOTES = 4096
_MOST_TOLD = 5
_FRAMES = 12
_TRACED_FRAMES = 6
_LEAST_SHARE = 0.05


def _find(path: str) -> Callable[[Any, Any], Any]:
    module, _, name = path.replace("/", ".").rpartition(".")
    function: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), name)
    return function


class _Notes:
    """Who opened what, during invocations."""

    def __init__(self) -> None:
        self.active = False
        self.paths: dict[str, str] = {}
        self.sockets: dict[int, str] = {}
        self.peers: dict[int, str] = {}
        self.threads: Counter[str] = Counter()
        self.most_descriptors = 0
        self.most_tmp = 0

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            self._opened(arguments[0])
        elif event == "socket.__new__":
            _note(self.sockets, id(arguments[0]), _user_line())
        elif event == "socket.connect":
            _note(self.peers, id(arguments[0]), _address(arguments[1]))
        elif event == "_thread.start_new_thread":
            self.threads[_user_line()] += 1
        elif event in ("os.remove", "shutil.rmtree"):
            # Before it is gone: here a temporary file is as large as it gets.
            self.most_tmp = max(self.most_tmp, _tmp_used())
        else:
            return
        if event != "socket.connect":
            self.most_descriptors = max(self.most_descriptors, _lowest_free() + 1)

    def _opened(self, path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            _note(self.paths, os.path.realpath(os.fsdecode(path)), _user_line())


def _note(notes: dict[Any, str], key: object, text: str) -> None:
    if len(notes) >= _MOST_NOTES:
        notes.pop(next(iter(notes)))
    notes.pop(key, None)
    notes[key] = text


def _user_line() -> str:
    """The line of the user's code on the way here, else the innermost one that is not the library's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    inner = frame
    for _ in range(_FRAMES * 4):
        if frame is None or frame.f_code.co_filename == __file__:
            break
        if _is_users(frame.f_code.co_filename):
            inner = frame
            break
        frame = frame.f_back
    return "" if inner is None else _line(inner.f_code.co_filename, inner.f_lineno, inner.f_code.co_name)


def _is_users(filename: str) -> bool:
    return filename.startswith(_ROOT) and "site-packages" not in filename


def _line(filename: str, number: int, name: str = "") -> str:
    short = filename.removeprefix(_ROOT)
    if short == filename:
        short = filename.rpartition("site-packages/")[2].rpartition("/lib/")[2]
    return f"{short}:{number}" + (f" in {name}" if name else "")


def _address(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)


def _lowest_free() -> int:
    try:
        free = os.dup(2)
    except OSError:
        return 0
    os.close(free)
    return free


def _tmp_used() -> int:
    try:
        there = os.statvfs(_TMP)
    except OSError:
        return 0
    return (there.f_blocks - there.f_bfree) * there.f_frsize


_notes = _Notes()
_before: dict[str, Any] = {}


def _answer(question: str) -> Any:
    if question == "collect":
        return {"enabled": gc.isenabled(), "threshold": gc.get_threshold()[0], "found": gc.collect()}
    if question == "generation":
        return gc.get_count()[0]
    if question == "baseline":
        _before.update(_state())
        # What was there before is no leak; without it the snapshot is small.
        sys.modules["tracemalloc"].clear_traces()
        _notes.most_descriptors = _notes.most_tmp = 0
        return {"descriptors": len(_before["descriptors"]), "tmp": _tmp_used()}
    return _explanation()


def _state() -> dict[str, Any]:
    return {
        "descriptors": _descriptors(),
        "tmp": set(_files()),
        "threads": set(threading.enumerate()),
    }


def _explanation() -> dict[str, Any]:
    peak_descriptors, peak_tmp = _notes.most_descriptors, _notes.most_tmp
    now = _state()
    return {
        "descriptors": _grouped(_told_descriptors(now["descriptors"])),
        "memory": _allocations(),
        "tmp": _grouped_files(now["tmp"] - _before.get("tmp", set())),
        "threads": _grouped(_told_threads(now["threads"])),
        "peak": {"descriptors": peak_descriptors, "tmp": peak_tmp},
    }


def _descriptors() -> dict[int, str]:
    found = {}
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            links = list(Path(folder).iterdir())
        except OSError:
            continue
        for link in links:
            try:
                found[int(link.name)] = str(link.readlink())
            except OSError:  # the listing's own, or no link on this platform
                continue
        break
    return found


def _told_descriptors(now: dict[int, str]) -> list[tuple[str, str]]:
    before = _before.get("descriptors", {})
    sockets = _open_sockets()
    told = []
    for number, target in now.items():
        if before.get(number) == target:
            continue
        if number in sockets:
            told.append(sockets[number])
        else:
            told.append((_general(target), _notes.paths.get(target, "")))
    return told


def _open_sockets() -> dict[int, tuple[str, str]]:
    import socket

    found = {}
    for one in gc.get_objects():
        # type(), not isinstance: a lazy proxy in the user's code must not be woken up by being looked at.
        if issubclass(type(one), socket.socket):
            try:
                number = one.fileno()
                peer = _notes.peers.get(id(one)) or _address(one.getpeername())
            except OSError:
                peer = ""
            if number >= 0:
                found[number] = (f"socket to {peer}" if peer else "socket", _notes.sockets.get(id(one), ""))
    return found


def _told_threads(now: set[threading.Thread]) -> list[tuple[str, str]]:
    new = [one for one in now - _before.get("threads", set()) if one.is_alive()]
    starter = _notes.threads.most_common(1)
    where = starter[0][0] if starter else ""
    return [(f"thread {_general(one.name)}", where) for one in new]


def _allocations() -> list[dict[str, Any]]:
    tracemalloc = sys.modules["tracemalloc"]
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()  # evaluating what was traced would be traced too, and take ten times as long
    per_line: dict[str, list[int]] = {}
    for one in snapshot.statistics("traceback"):
        # Innermost last: what the user's own line caused is put down to it.
        frames = [frame for frame in reversed(one.traceback) if _is_users(frame.filename)]
        frame = frames[0] if frames else one.traceback[-1]
        if frame.filename in (__file__, tracemalloc.__file__):
            continue
        sums = per_line.setdefault(_line(frame.filename, frame.lineno), [0, 0])
        sums[0] += one.size
        sums[1] += one.count
    top = sorted(per_line.items(), key=lambda item: -item[1][0])[:_MOST_TOLD]
    least = top[0][1][0] * _LEAST_SHARE if top else 0
    return [
        {"what": "allocation", "where": where, "count": count, "bytes": size}
        for where, (size, count) in top
        if size > least
    ]


def _files() -> list[str]:
    return [str(one) for one in Path(_TMP).rglob("*") if not one.is_dir()]


def _grouped_files(files: set[str]) -> list[dict[str, Any]]:
    sizes: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    for file in files:
        key = (_general(file), _notes.paths.get(os.path.realpath(file), ""))
        counts[key] += 1
        try:
            sizes[key] += os.lstat(file).st_blocks * 512
        except OSError:
            continue
    return [
        {"what": what, "where": where, "count": counts[what, where], "bytes": size}
        for (what, where), size in sizes.most_common(_MOST_TOLD)
    ]


def _grouped(told: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"what": what, "where": where, "count": count}
        for (what, where), count in Counter(told).most_common(_MOST_TOLD)
    ]


def _general(name: str) -> str:
    """The name with what differs from one to the next taken out: ids, numbers, random parts."""
    text = re.sub(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "*", name)
    text = re.sub(r"(?<=/tmp)[a-z0-9_]{8}(?=$|[./])", "*", text)
    return re.sub(r"\*+", "*", re.sub(r"[0-9a-f]{8,}|\d+", "*", text))


if _EXPLAINS:
    import tracemalloc

    tracemalloc.start(_TRACED_FRAMES)
    sys.addaudithook(_notes.hear)

_function = _find(os.environ["RESILIENT_SOAK_HANDLER"])


def handler(event: Any, context: Any) -> Any:
    """Call the user's handler, unless the event is a question."""
    if type(event) is dict and "resilient_soak" in event:
        return _answer(event["resilient_soak"])
    if not _EXPLAINS:
        return _function(event, context)
    _notes.active = True
    try:
        return _function(event, context)
    finally:
        _notes.active = False
