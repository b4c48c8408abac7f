"""What a consumer was asked for, checked and completed with defaults, before anything is made.

Plain values in, plain values out: everything that can be told wrong at once is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .limits import (
    BATCH_SIZE,
    BATCH_SIZE_FIFO,
    BATCH_SIZE_WITHOUT_WINDOW,
    BATCH_WINDOW,
    CONFIGURE_PAGE,
    MAX_CONCURRENCY,
    QUEUE_PAGE,
    RECOMMENDED_RECEIVES,
    VISIBILITY_FACTOR,
    VISIBILITY_TIMEOUT,
)

__all__ = [
    "Batch",
    "Warned",
    "check_concurrency",
    "check_source",
    "check_unused",
    "choose_concurrency",
    "choose_visibility",
    "filter_criteria",
    "warn_of",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How messages are gathered into one invocation.

    :param size: at most so many messages
    :param window: seconds that Lambda waits for more of them
    """

    size: float
    window: float

    def check(self, faults: Faults, *, fifo: bool) -> None:
        """Note what AWS would refuse."""
        faults.check(BATCH_SIZE_FIFO if fifo else BATCH_SIZE, self.size)
        faults.check(BATCH_WINDOW, self.window)
        if is_token(self.size) or is_token(self.window):
            return
        if fifo and self.window:
            faults.add("batching_window", self.window, "none for a FIFO queue", BATCH_WINDOW.page)
        elif self.size > BATCH_SIZE_WITHOUT_WINDOW and self.window < 1:
            faults.add(
                "batching_window",
                self.window,
                f"1 to 300 seconds, because batch_size {self.size} is above {BATCH_SIZE_WITHOUT_WINDOW}",
                BATCH_WINDOW.page,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """A setting that AWS takes and that will hurt: the slug of its warning, and the text."""

    slug: str
    text: str


def check_source(
    faults: Faults, *, handler: object, function: object, only_handlers: Mapping[str, object]
) -> None:
    """Note when there is no code to call, or two, or settings that a given function would not get."""
    if (handler is None) == (function is None):
        both = "both" if handler is not None else "neither"
        faults.add("handler, function", both, "exactly one of the two", CONFIGURE_PAGE)
    elif function is not None:
        check_unused(faults, only_handlers, "set it on the given function itself", CONFIGURE_PAGE)


def check_unused(faults: Faults, settings: Mapping[str, object], remedy: str, page: str) -> None:
    """Note every setting that was given and would be ignored in silence."""
    for prop, value in settings.items():
        if value is not None:
            faults.add(prop, value if isinstance(value, int | float | str) else "given", remedy, page)


def choose_concurrency(given: float | None, downstreams: Sequence[int], reserved: float | None) -> float:
    """The concurrency asked for, or the smallest that a downstream or the reserved concurrency leaves."""
    if given is not None:
        return given
    bounds = list(downstreams) or [int(MAX_CONCURRENCY.default or 0)]
    if reserved is not None and not is_token(reserved):
        bounds.append(int(reserved))
    return max(min(bounds), int(MAX_CONCURRENCY.low or 0))


def check_concurrency(faults: Faults, max_concurrency: float, reserved: float | None) -> None:
    """Note a concurrency that AWS refuses, or one above what the function has reserved.

    Above the reserved concurrency Lambda's pollers are throttled, and each throttled message spends one of
    its receives: good messages end in the dead-letter queue.
    """
    faults.check(MAX_CONCURRENCY, max_concurrency)
    if reserved is None or is_token(reserved) or is_token(max_concurrency):
        return
    if max_concurrency > reserved:
        faults.add(
            "max_concurrency",
            max_concurrency,
            f"at most the function's reserved concurrency of {reserved:g}",
            MAX_CONCURRENCY.page,
        )


def choose_visibility(
    faults: Faults, given: float | None, *, timeout: float | None, window: float
) -> float | None:
    """The visibility timeout in seconds: the given one, or six times the function's timeout plus the window.

    :param timeout: the function's timeout in seconds, a token, or None when it cannot be read
    :return: None when there is a fault, which is then noted
    """
    if given is not None:
        _check_visibility(faults, given, timeout=timeout)
        return given
    if timeout is None or is_token(timeout) or is_token(window):
        reason = (
            "the function's timeout is not known (imported?)"
            if timeout is None
            else "timeout or batching_window is a token, nothing can be computed from it"
        )
        faults.add("visibility_timeout", None, f"say it yourself, because {reason}", CONFIGURE_PAGE)
        return None
    chosen = VISIBILITY_FACTOR * timeout + window
    return min(chosen, VISIBILITY_TIMEOUT.high or chosen)


def _check_visibility(faults: Faults, visibility: float, *, timeout: float | None) -> None:
    """Note a visibility timeout that AWS refuses: out of range, or shorter than the function may run."""
    faults.check(VISIBILITY_TIMEOUT, visibility)
    if timeout is None or is_token(timeout) or is_token(visibility):
        return
    if visibility < timeout:
        faults.add(
            "visibility_timeout",
            visibility,
            f"at least the function's timeout of {timeout:g} seconds, better six times that",
            CONFIGURE_PAGE,
        )


def warn_of(
    *,
    visibility: float | None,
    timeout: float | None,
    window: float,
    max_receive_count: float,
    has_dead_letter_queue: bool,
) -> Sequence[Warned]:
    """What is legal and still loses or repeats work, each with its two numbers and the remedy."""
    warned = []
    if (
        visibility is not None
        and timeout is not None
        and not (is_token(visibility) or is_token(timeout) or is_token(window))
        and visibility < VISIBILITY_FACTOR * timeout + window
    ):
        wanted = min(VISIBILITY_FACTOR * timeout + window, VISIBILITY_TIMEOUT.high or 0)
        if visibility < wanted:
            warned.append(
                Warned(
                    slug="visibility",
                    text=f"visibility_timeout is {visibility:g} s, but the function may run {timeout:g} s: a"
                    " throttled message comes back before Lambda has stopped retrying it and is worked on"
                    f" twice. Raise it to {wanted:g} s (six times the timeout plus the window), or leave it"
                    f" out ({CONFIGURE_PAGE})",
                )
            )
    if not is_token(max_receive_count) and max_receive_count < RECOMMENDED_RECEIVES:
        warned.append(
            Warned(
                slug="receives",
                text=f"max_receive_count is {max_receive_count:g}; AWS recommends at least"
                f" {RECOMMENDED_RECEIVES}, because throttles spend receives as failures do: good messages end"
                f" in the dead-letter queue. Raise it, or leave it out ({CONFIGURE_PAGE})",
            )
        )
    if not has_dead_letter_queue:
        warned.append(
            Warned(
                slug="dead-letters",
                text="the given queue has 0 dead-letter queues; 1 is needed: a message that always fails"
                " comes back until its retention ends and is then lost without a trace. Give the queue a redrive"
                f" policy, or leave queue out ({QUEUE_PAGE})",
            )
        )
    return warned


def filter_criteria(filters: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Event patterns as the event source mapping wants them: as JSON text.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    if not filters:
        return None
    return {"filters": [{"pattern": json.dumps(pattern)} for pattern in filters]}
