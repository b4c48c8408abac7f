"""The process between who soaks a handler and the handler's environment: it isolates, and buries.

    user's process ─watch pipe─▶ keeper ─▶ first process of the namespaces ─▶ RIE ─▶ the runtime

Run by its path, on a bare interpreter, with one JSON object as its argument. Standard input is the watch
pipe: when it ends, or the owner does, everything here is killed. File descriptor ``status`` gets one JSON
object that says what could be isolated.

In the namespaces ``/tmp`` is a file system of Lambda's size, and the processes are the whole world, so that
killing the first one kills whatever a handler may have started. Where the platform has no namespaces, or this
user may not make any, the process group and the kernel's child subreaper have to do.

The road not taken is the ``unshare`` command: it is not everywhere, and it cannot mount.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["main"]

_TICK = 0.1
_CANNOT_ISOLATE = 99
_NOBODY_WANTS_IT = 98
# linux/sched.h, sys/mount.h, linux/prctl.h
_NEW_MOUNTS, _NEW_USER, _NEW_PROCESSES = 0x00020000, 0x10000000, 0x20000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DIE_WITH_PARENT, _SUBREAPER = 1, 36


def main() -> int:
    """Run the command of the orders until it or the owner ends; its exit code, or 1 when it was killed."""
    orders = json.loads(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    _control(_SUBREAPER)
    code = 1
    for level in _levels() if orders["isolate"] else (0,):
        child = _fork(partial(_isolated, level, orders))
        try:
            code = _watch(child, orders["owner"])
        finally:
            _end(child)
        if code != _CANNOT_ISOLATE:
            break
    if code == _NOBODY_WANTS_IT:
        shutil.rmtree(orders["folder"], ignore_errors=True)
    return code


def _levels() -> Sequence[int]:
    """What to try, best first; 0 isolates nothing."""
    if sys.platform != "linux":
        return (0,)
    everything = _NEW_MOUNTS | _NEW_PROCESSES
    # Root may do without a user namespace, unless a container took that right away.
    with_user = (everything | _NEW_USER, _NEW_MOUNTS | _NEW_USER, 0)
    return with_user if os.geteuid() else (everything, _NEW_MOUNTS, *with_user)


def _isolated(level: int, orders: dict[str, Any]) -> int:
    os.setpgid(0, 0)
    _control(_DIE_WITH_PARENT, signal.SIGKILL)
    # A blocked read of the watch pipe would be somebody else's; nothing below here has a standard input.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        if level:
            _unshare(level)
    except OSError:
        return _CANNOT_ISOLATE
    if not level & _NEW_PROCESSES:
        return _first(level, orders)
    # Only a child is in the new process namespace; everything in there ends with it.
    child = _fork(lambda: _first(level, orders))
    return _code(os.waitpid(child, 0)[1])


def _first(level: int, orders: dict[str, Any]) -> int:
    """The first process of the environment: mounts, limits, the command, and the burial of orphans."""
    _control(_DIE_WITH_PARENT, signal.SIGKILL)
    try:
        if level:
            _mount_tmp(orders["tmp_mb"], orders["keep"])
        if level & _NEW_PROCESSES:
            # os.getpid() must be what /proc calls it.
            _call("mount", b"proc", b"/proc", b"proc", 0, None)
    except OSError:
        return _CANNOT_ISOLATE
    _limit_descriptors(orders["descriptors"])
    os.chdir(orders["cwd"])
    tell = orders["status"]
    os.write(tell, json.dumps({"tmp": bool(level), "processes": bool(level & _NEW_PROCESSES)}).encode())
    os.close(tell)
    # Where there is no /tmp of its own, what goes through tempfile is at least seen.
    env = orders["env"] if level else {**orders["env"], "TMPDIR": orders["tmpdir"]}
    command = orders["command"]
    child = _fork(lambda: os.execvpe(command[0], command, env))  # noqa: S606
    while True:
        ended, status = os.wait()
        if ended == child:
            return _code(status)


def _mount_tmp(size_mb: int, keep: Sequence[str]) -> None:
    """Put a file system of Lambda's size on /tmp, with what must stay visible of the old one in it."""
    _call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    held = [(path, os.open(path, os.O_PATH)) for path in keep]
    _call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, f"size={size_mb}m,mode=1777".encode())
    for path, descriptor in held:
        if not Path(path).is_dir():  # a kept folder may lie in another
            Path(path).mkdir(parents=True)
            there = path.encode()
            _call("mount", f"/proc/self/fd/{descriptor}".encode(), there, None, _BIND | _RECURSIVE, None)
            # Code is read-only on Lambda. In a user namespace the kernel may refuse: then it is as it was.
            with contextlib.suppress(OSError):
                _call("mount", None, there, None, _BIND | _REMOUNT | _READ_ONLY, None)
        os.close(descriptor)


def _limit_descriptors(most: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, least))


def _watch(child: int, owner: int) -> int:
    """Wait for the child's end; also end when the owner is gone or closes the watch pipe."""
    tick = _TICK / 64
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _code(status)
        # A forked child of the owner may hold the pipe open after the owner died: look at both.
        if os.getppid() != owner:
            return _NOBODY_WANTS_IT
        readable, _, _ = select.select([0], [], [], tick)
        if readable and not os.read(0, 1):
            return _NOBODY_WANTS_IT
        # What cannot be isolated ends at once, and the next level should not have to wait.
        tick = min(_TICK, 2 * tick)


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    # Whatever left the group has become our child, as we are the subreaper; where there is none (macOS),
    # the group is all that is known.
    while True:
        for orphan in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in listed.split()]


def _unshare(level: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", level)
    if level & _NEW_USER:
        # Who may make namespaces may mount in them; the handler still runs as who started it.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)


def _call(name: str, *arguments: object) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _control(option: int, value: int = 1) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _fork(work: Callable[[], int]) -> int:
    """Run ``work`` in a child, which ends with what it returns."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        code = work()
    except BaseException as error:  # noqa: BLE001  it must never return into the parent's code
        print(f"resilient soak: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(code)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
