"""What surrounds every invocation, whichever the mode: the environment's health, configuration, the deadline.

One rule holds for all of it: what is here to help an invocation never fails one. An error of our own is told
once per environment, and the invocation goes on without that help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from .handler_lookup import Handler
from .status import StatusLines, Teller

__all__ = [
    "HEALTH_CHECK",
    "Caretaker",
    "Guard",
    "NoCaretaker",
    "NoGuard",
    "Remaining",
    "Work",
    "around",
    "kept_ms",
    "under_guard",
]

_T = TypeVar("_T")

HEALTH_CHECK = "resilient_health_check"
"""An event with this member alone, and true, is answered with the environment's figures."""

_KEPT_MS = 500

Remaining = Callable[[], int] | None
Work = Callable[[Any, Any, Remaining], Any]


def under_guard(guard: Guard, do: Callable[[], _T]) -> _T:
    """Do something that a store may not answer: that must not cost an invocation what it has done.

    :raises BaseException: whatever kept it from being done, the deadline's interruption included
    """
    # Inside the try: what enter() may raise must find the guard left.
    try:
        guard.enter()
        return do()
    finally:
        guard.leave()


class Caretaker(Protocol):
    """Who looks after the execution environment between and around invocations."""

    def begin(self, event: Any, context: Any) -> None:
        """Before anything is done for this event; may end the process where the source tries again."""

    def end(self, remaining_ms: Remaining) -> None:
        """After the handler, whatever became of it."""

    def broken_off(self) -> None:
        """The handler was ended in the middle of something; called before ``end``."""

    def facts(self) -> Mapping[str, Any]:
        """What a FAILED record says of the environment: its age, the invocation's number, its health."""
        ...

    def answer(self) -> Mapping[str, Any]:
        """What a health check is told."""
        ...


class Guard(Protocol):
    """Who interrupts the handler before Lambda would kill it."""

    margin: float
    """Seconds before Lambda's timeout at which it interrupts; 0 when there is no such time."""

    broke_off: bool
    """Whether it has ended the user's code in the middle of something, in this invocation or the last."""

    @property
    def passed(self) -> bool:
        """Whether the time to interrupt has come in this invocation."""
        ...

    def left(self) -> float:
        """Seconds until Lambda's timeout; infinite when nobody knows."""
        ...

    def arm(self, remaining: Remaining) -> None:
        """An invocation begins."""

    def disarm(self) -> None:
        """It is over."""

    def enter(self) -> None:
        """The calling function's next call is the user's code: from here it may be interrupted."""

    def leave(self) -> None:
        """The user's code is over: from here it must not be."""


class NoCaretaker:
    """Looks after nothing."""

    def begin(self, event: Any, context: Any) -> None:
        """Nothing."""

    def end(self, remaining_ms: Remaining) -> None:
        """Nothing."""

    def broken_off(self) -> None:
        """Nothing."""

    def facts(self) -> Mapping[str, Any]:
        """No facts are known."""
        return {}

    def answer(self) -> Mapping[str, Any]:
        """The function is there: that is all that is known."""
        return {HEALTH_CHECK: True}


class NoGuard:
    """Interrupts nothing, for there is all the time in the world."""

    margin = 0.0
    passed = False
    broke_off = False

    def left(self) -> float:
        """For ever."""
        return float("inf")

    def arm(self, remaining: Remaining) -> None:
        """Nothing."""

    def disarm(self) -> None:
        """Nothing."""

    def enter(self) -> None:
        """Nothing."""

    def leave(self) -> None:
        """Nothing."""


def kept_ms(margin: float) -> int:
    """Milliseconds that a downstream call leaves of the invocation: it must time out before the guard fires.

    :param margin: the guard's. Without one, half a second is kept
    """
    return int(margin * 1100) + 50 if margin > 0 else _KEPT_MS


def around(
    work: Work,
    *,
    caretaker: Caretaker,
    guard: Guard,
    refresh: Callable[[], None] | None,
    lines: StatusLines,
    tell: Teller,
) -> Handler:
    """The function that Lambda calls: ``work`` with everything around it.

    :param work: gets event, context, and the function that tells the time left
    :param refresh: starts to renew configuration that is about to expire
    """
    # Looked up once: an invocation pays for calls alone.
    begin, end, arm, disarm = caretaker.begin, caretaker.end, guard.arm, guard.disarm
    broken: set[str] = set()

    def tell_once(part: str, error: Exception) -> None:
        if part not in broken:
            broken.add(part)
            tell(lines.broken, part, error)

    def check() -> Mapping[str, Any]:
        try:
            return caretaker.answer()
        except Exception as error:  # noqa: BLE001
            tell_once("health check", error)
            # The function starts and answers, which is what was asked first of all.
            return {HEALTH_CHECK: True, "error": type(error).__name__}

    def handle(event: Any, context: Any) -> Any:
        if type(event) is dict and len(event) == 1 and event.get(HEALTH_CHECK) is True:
            return check()
        remaining: Remaining = getattr(context, "get_remaining_time_in_millis", None)
        try:
            begin(event, context)
        except Exception as error:  # noqa: BLE001
            tell_once("health", error)
        if refresh is not None:
            try:
                refresh()
            except Exception as error:  # noqa: BLE001
                tell_once("configuration", error)
        try:
            arm(remaining)
        except Exception as error:  # noqa: BLE001
            tell_once("deadline", error)
        try:
            return work(event, context, remaining)
        finally:
            try:
                disarm()
            except Exception as error:  # noqa: BLE001
                tell_once("deadline", error)
            try:
                if guard.broke_off:
                    caretaker.broken_off()
                end(remaining)
            except Exception as error:  # noqa: BLE001
                tell_once("health", error)

    return handle
