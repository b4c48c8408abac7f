"""A fresh interpreter in the same environment: re-executed after an answer was sent, before the next event.

AWS's interface client answers an invocation and then asks for the next event. Between these two, nothing is
lost when the process replaces its own program by ``execve``: Lambda sees the same process, the caller has
its answer, and no invocation is under way. It happens in the answered invocation's time, though, so it waits
for one that has enough of it left.

The client's classes are nobody's public interface: what is not found as expected is left alone, and the
environment is then not recycled this way. https://github.com/aws/aws-lambda-python-runtime-interface-client
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from .proc import content_of, names_in, process_stat
from .state import STATE_VARIABLE, from_text

__all__ = [
    "Interpreter",
    "Restarts",
    "between_invocations",
    "busy_threads",
    "not_here",
    "seconds_needed",
    "start_again_after_failure",
    "unknown_children",
]

_CLIENT_MODULE = "awslambdaric.lambda_runtime_client"
_CLIENT_CLASS = "LambdaRuntimeClient"
_WAIT = "wait_next_invocation"

_ON_PLAIN_LAMBDA = ("", "on-demand", "provisioned-concurrency")
"""SnapStart restores one memory image many times, Managed Instances run invocations side by side: in neither
is a process free to replace itself. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

_MB_PER_PROCESSOR = 1769
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

_SAFETY = 2.0
_SAFETY_OF_THE_DYING = 1.25
_AT_LEAST = 0.25
_MOST_FAILED_STARTS = 2


def not_here(env: Mapping[str, str]) -> str | None:
    """Why an interpreter may never be re-executed here, or None."""
    kind = env.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
    if kind not in _ON_PLAIN_LAMBDA:
        return f"this environment is of the kind {kind}"
    if "AWS_LAMBDA_MAX_CONCURRENCY" in env:
        return "this environment runs invocations side by side"
    if not env.get("AWS_LAMBDA_RUNTIME_API"):
        return "this is not Lambda"
    return None


def seconds_needed(
    start: float, processor: float, *, memory_mb: int | None, measured: bool, dying: bool = False
) -> float:
    """How much of an invocation must be left to re-execute the interpreter in it.

    A first start runs on a whole processor, which Lambda lends for it; a re-execution has only what belongs
    to the function's memory.

    :param start: seconds that the last start took
    :param processor: seconds of it that the processor worked
    :param measured: whether that was a re-execution already
    :param dying: whether the environment fails within a few invocations: then less must do
    """
    if not measured and memory_mb:
        start += processor * max(_MB_PER_PROCESSOR / memory_mb - 1, 0)
    return _AT_LEAST + (_SAFETY_OF_THE_DYING if dying else _SAFETY) * start


def between_invocations(act: Callable[[], None]) -> bool:
    """Have ``act`` called whenever the interface client is about to ask for an event.

    :returns: whether the client is one that is known; no more than that, for it may still not be in use
    """
    module = sys.modules.get(_CLIENT_MODULE)
    client = getattr(module, _CLIENT_CLASS, None)
    wait: Any = getattr(client, _WAIT, None)
    if not isinstance(client, type) or not callable(wait):
        return False
    original = getattr(wait, "_resilient_original", wait)

    def wait_next_invocation(self: Any, *arguments: Any, **named: Any) -> Any:
        act()
        return original(self, *arguments, **named)

    wait_next_invocation._resilient_original = original  # type: ignore[attr-defined]
    setattr(client, _WAIT, wait_next_invocation)
    return True


def busy_threads() -> list[str]:
    """The names of the threads that may be in the middle of something.

    A daemon thread says of itself that it may be cut off. An idle worker of a ThreadPoolExecutor waits for
    work that can no longer come.
    """
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    frames = sys._current_frames()
    this = threading.get_ident()
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.ident != this
        and thread is not threading.main_thread()
        and not thread.daemon
        and not _waits_for_work(frames.get(thread.ident))
    ]


def _waits_for_work(frame: Any) -> bool:
    if frame is None or frame.f_code.co_name != "_worker":
        return False
    queue = frame.f_locals.get("work_queue")
    # Between taking work and running it, the worker holds it in ``work_item``.
    return (
        frame.f_globals.get("__name__") == "concurrent.futures.thread"
        and queue is not None
        and queue.empty()
        and frame.f_locals.get("work_item") is None
    )


def unknown_children(found: list[int]) -> list[int]:
    """Of these processes, those that run and are not a helper of Python's own, which ends with its pipe."""
    known = set()
    for name, holder in (
        ("multiprocessing.resource_tracker", "_resource_tracker"),
        ("multiprocessing.forkserver", "_forkserver"),
    ):
        helper = getattr(sys.modules.get(name), holder, None)
        known.add(getattr(helper, "_pid", None))
        known.add(getattr(helper, "_forkserver_pid", None))
    return [pid for pid in found if pid not in known and _runs(pid)]


def _runs(pid: int) -> bool:
    return process_stat(pid)[:1] not in ([], [b"Z"], [b"X"])


class Restarts(Protocol):
    """Who can put a fresh interpreter in this one's place."""

    def start_again(self, state: str) -> object:
        """Do it; whoever returns has not done it."""


class Interpreter:
    """How this interpreter was started, and how to start it again.

    Made in the init phase, while everything still is as Lambda made it.
    """

    def __init__(self) -> None:
        self._directory = os.getcwd()  # noqa: PTH109
        self._mask: Any = None
        # The process's own copy of its variables: the interface client deletes the one that names the
        # telemetry descriptor from os.environ, and the handler's code may change others.
        self._environ = content_of("/proc/self/environ")
        signal = sys.modules.get("signal")
        if signal is not None and hasattr(signal, "pthread_sigmask"):
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    @property
    def known(self) -> bool:
        """Whether it is known how, and the variables could be read and are this process's."""
        return bool(sys.executable and sys.orig_argv) and b"AWS_LAMBDA_RUNTIME_API=" in self._environ

    def start_again(self, state: str) -> NoReturn:
        """Replace this interpreter by a fresh one that is told ``state``.

        Standard input, output and error stay open, and the descriptors that Lambda names in its variables.

        :raises OSError: when the system refuses; everything goes on as it was, with other descriptors closed
            in case of success only
        """
        variables = dict(pair.split(b"=", 1) for pair in self._environ.split(b"\0") if b"=" in pair)
        variables[STATE_VARIABLE.encode()] = state.encode()
        stay = {0, 1, 2} | _named_descriptors(variables)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a closed stream holds nothing back
                stream.flush()
        for name in names_in("/proc/self/fd") or ():
            if int(name) not in stay:
                with suppress(OSError):  # the listing's own is closed by now
                    os.set_inheritable(int(name), False)
        _forget_signals(self._mask)
        os.chdir(self._directory)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables)  # noqa: S606


def start_again_after_failure(env: Mapping[str, str], *, now: Callable[[], float] = time.time) -> bool:
    """Try a start that failed once more, when it is a re-execution's and there is time.

    The user's module may ask the network for something while it is imported. On a first start Lambda tries
    again by itself; this one is in the time of an invocation that was answered, which must not end as failed.

    :returns: where it is not tried again: whether it was a re-execution's
    """
    state = from_text(env.get(STATE_VARIABLE), born=0.0)
    if not state.at or not_here(env):
        return False
    took = (now() - state.at) / (state.failed_starts + 1)
    if state.failed_starts < _MOST_FAILED_STARTS and state.until - now() >= _AT_LEAST + _SAFETY * took:
        with suppress(OSError):
            Interpreter().start_again(
                state._replace(failed_starts=state.failed_starts + 1).to_text(pid=os.getpid())
            )
    return True


def _named_descriptors(variables: Mapping[bytes, bytes]) -> set[int]:
    return {
        int(value)
        for name, value in variables.items()
        if name.startswith(b"_LAMBDA_") and name.endswith((b"_FD", b"_SOCKET")) and value.isdigit()
    }


def _forget_signals(mask: Any) -> None:
    """A timer outlives ``execve``, but not the handler of its signal: it would kill the new interpreter."""
    signal = sys.modules.get("signal")
    if signal is None:
        return
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
