"""What a consumer was asked for, checked and completed with defaults, before anything is made.

Plain values in, plain values out: everything that can be told wrong at once is told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function import ContainerHealth
from resilient_constructs.resilient_function.consuming import Consuming
from resilient_constructs.resilient_function.limits import TIMEOUT
from resilient_constructs.tokens import is_token

from .limits import (
    ALARM_AGE,
    BATCH_SIZE,
    BATCH_SIZE_FIFO,
    BATCH_SIZE_WITHOUT_WINDOW,
    BATCH_WINDOW,
    CONFIGURE_PAGE,
    MAX_CONCURRENCY,
    MAX_RECEIVE_COUNT,
    QUEUE_PAGE,
    RECOMMENDED_RECEIVES,
    VISIBILITY_FACTOR,
    VISIBILITY_TIMEOUT,
)

__all__ = [
    "Chosen",
    "Warned",
    "choose",
    "choose_health",
    "warn_of",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A consumer's numbers, defaults filled in.

    :param concurrency: invocations at once
    :param batch_size: messages per invocation
    :param window: seconds that Lambda waits to fill a batch
    :param visibility: seconds that a received message stays hidden; None where a given queue does not tell
    :param max_receive_count: receives after which a message is given up
    :param alarm_age: seconds that the oldest message may wait before someone is woken
    :param fifo: whether the queue keeps an order
    """

    concurrency: float
    batch_size: float
    window: float
    visibility: float | None
    max_receive_count: int
    alarm_age: float
    fifo: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """A setting that AWS takes and that will hurt: the slug of its warning, and the text."""

    slug: str
    text: str


def choose(
    faults: Faults,
    *,
    consuming: Consuming,
    own_queue: bool,
    given_visibility: float | None,
    fifo: bool,
    downstreams: Sequence[int],
    max_concurrency: float | None,
    batch_size: float | None,
    window: float,
    visibility: float | None,
    max_receive_count: int | None,
    alarm_age: float,
) -> Chosen:
    """Fill in what was not given, and note everything that AWS would refuse."""
    faults.check(TIMEOUT, consuming.timeout)
    faults.check(ALARM_AGE, alarm_age)
    size = (BATCH_SIZE.default or 1) if batch_size is None else batch_size
    _check_batch(faults, size, window, fifo=fifo)
    concurrency = _choose_concurrency(max_concurrency, downstreams, consuming.reserved_concurrency)
    _check_concurrency(faults, concurrency, consuming.reserved_concurrency)
    receives = int(MAX_RECEIVE_COUNT.default or 0) if max_receive_count is None else max_receive_count
    faults.check(MAX_RECEIVE_COUNT, receives)
    if own_queue:
        visibility = _choose_visibility(faults, visibility, timeout=consuming.timeout, window=window)
    else:
        visibility = given_visibility
        if visibility is not None:
            _check_visibility(faults, visibility, timeout=consuming.timeout, prop="queue.visibility_timeout")
    return Chosen(
        concurrency=concurrency,
        batch_size=size,
        window=window,
        visibility=visibility,
        max_receive_count=receives,
        alarm_age=alarm_age,
        fifo=fifo,
    )


def choose_health(health: ContainerHealth | None, receives: float) -> ContainerHealth | None:
    """The cure that was asked for, less what would cost a message its only receive.

    :param receives: after how many receives a message is given up
    """
    if is_token(receives) or receives > 1:
        return health
    return replace(health or ContainerHealth(), exit=False)


def _check_batch(faults: Faults, size: float, window: float, *, fifo: bool) -> None:
    faults.check(BATCH_SIZE_FIFO if fifo else BATCH_SIZE, size)
    faults.check(BATCH_WINDOW, window)
    if is_token(size) or is_token(window):
        return
    if fifo and window:
        faults.add("batching_window", window, "none for a FIFO queue", BATCH_WINDOW.page)
    elif size > BATCH_SIZE_WITHOUT_WINDOW and window < 1:
        faults.add(
            "batching_window",
            window,
            f"1 to 300 seconds, because batch_size {size} is above {BATCH_SIZE_WITHOUT_WINDOW}",
            BATCH_WINDOW.page,
        )


def _choose_concurrency(given: float | None, downstreams: Sequence[int], reserved: float | None) -> float:
    """The concurrency asked for, or the smallest that a downstream or the reserved concurrency leaves."""
    if given is not None:
        return given
    bounds = list(downstreams) or [int(MAX_CONCURRENCY.default or 0)]
    if reserved is not None and not is_token(reserved):
        bounds.append(int(reserved))
    return max(min(bounds), int(MAX_CONCURRENCY.low or 0))


def _check_concurrency(faults: Faults, max_concurrency: float, reserved: float | None) -> None:
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


def _choose_visibility(
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


def _check_visibility(
    faults: Faults, visibility: float, *, timeout: float | None, prop: str = "visibility_timeout"
) -> None:
    """Note a visibility timeout that AWS refuses: out of range, or shorter than the function may run.

    When the event source mapping is made, Lambda compares the two and refuses.
    """
    faults.check(VISIBILITY_TIMEOUT, visibility)
    if timeout is None or is_token(timeout) or is_token(visibility):
        return
    if visibility < timeout:
        faults.add(
            prop,
            visibility,
            f"at least the function's timeout of {timeout:g} seconds, better six times that",
            CONFIGURE_PAGE,
        )


def warn_of(chosen: Chosen, consuming: Consuming, *, has_dead_letter_queue: bool) -> Sequence[Warned]:
    """What is legal and still loses or repeats work, each with its two numbers and the remedy."""
    visibility, timeout, window = chosen.visibility, consuming.timeout, chosen.window
    max_receive_count = chosen.max_receive_count
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
                    f" twice. Raise it to {wanted:g} s (six times the timeout plus the window;"
                    f" a queue made here has that) ({CONFIGURE_PAGE})",
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
                " comes back until its retention ends and is then lost without a trace. Give the queue a"
                f" redrive policy, or leave queue out ({QUEUE_PAGE})",
            )
        )
    return warned
