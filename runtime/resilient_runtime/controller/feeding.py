"""What an event source mapping should be like, by the circuits of what its function calls: pure decisions.

Nobody decides from what an event says. Every event, whichever and however late, only makes the controller
look; what it then does follows from the circuit and the mapping as they are at that moment. So a duplicate, a
late or a lost event can do no harm, and an older version of a circuit is never acted on.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import NamedTuple

from resilient_runtime.breaker.circuit import Circuit, CircuitState

__all__ = [
    "ENDLESS_RETRIES",
    "TRICKLE_CONCURRENCY",
    "Feed",
    "MappingState",
    "Step",
    "StepKind",
    "decide",
    "feed_of",
    "feed_of_all",
]

TRICKLE_CONCURRENCY = 2
"""The least that a mapping can be held to.
https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html"""

ENDLESS_RETRIES = -1
"""What a stream's mapping has until its circuit is closed: each probe that fails sends the batch at the head
of every shard back, and its own few retries would be used up by that, not by what is wrong with its records.
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html"""

_IN_TRANSIT = frozenset({"Creating", "Enabling", "Disabling", "Updating"})
_SETTLED = frozenset({"Enabled", "Disabled"})


class Feed(IntEnum):
    """How much of its source a consumer should get. Of several, the least holds."""

    PAUSED = 0
    """Nothing: a message could only fail."""
    TRICKLE = 1
    """As little as possible, so that somebody probes."""
    FULL = 2
    """As much as was configured."""


class MappingState(NamedTuple):
    """An event source mapping as it is.

    :param state: Lambda's word for it: ``Enabled``, ``Disabling`` …
    :param concurrency: its maximum concurrency; None where it has none, as every mapping of a stream
    :param retries: of a stream's, how often it tries a batch again
    """

    state: str
    concurrency: int | None = None
    retries: int | None = None


class StepKind(StrEnum):
    """What is to be done next about a mapping."""

    NOTHING = "nothing"
    WAIT = "wait"
    UPDATE = "update"


class Step(NamedTuple):
    """The next step.

    :param kind: whether to change the mapping, to look again soon, or to leave it alone
    :param enabled: for an update, whether the mapping shall be enabled
    :param concurrency: for an update, its maximum concurrency; None leaves that as it is
    :param retries: for an update, how often a stream's tries a batch again; None leaves that as it is
    """

    kind: StepKind
    enabled: bool = False
    concurrency: int | None = None
    retries: int | None = None


_NOTHING = Step(StepKind.NOTHING)
_WAIT = Step(StepKind.WAIT)


def feed_of(circuit: Circuit, now: float) -> Feed:
    """How much one circuit lets through.

    An open circuit whose recovery time is over lets a trickle through. It stays open in the table: the first
    environment that gets a message claims the probe and makes it half open, as it does where nothing is
    paused. The road not taken is to write HALF_OPEN from here. It would say that somebody probes while the
    mapping takes its time to start, and make a second writer of what the environments decide.

    :param now: wall-clock seconds
    """
    state = circuit.state
    if state is CircuitState.FORCED_OPEN:
        return Feed.PAUSED
    if state is CircuitState.OPEN:
        return Feed.TRICKLE if circuit.retry_at is None or now >= circuit.retry_at else Feed.PAUSED
    return Feed.TRICKLE if state is CircuitState.HALF_OPEN else Feed.FULL


def feed_of_all(circuits: Iterable[Circuit], now: float) -> Feed:
    """How much a consumer gets that calls all of these; one of them that is down suffices to fail it."""
    return min((feed_of(circuit, now) for circuit in circuits), default=Feed.FULL)


def decide(
    feed: Feed, mapping: MappingState | None, configured: int | None, retries: int | None = None
) -> Step:
    """What to do about a mapping.

    While it is paused its concurrency is left alone: one update less, and it starts with what is right then.

    :param feed: how much its circuits let through
    :param mapping: as it is; None where there is none any more
    :param configured: the maximum concurrency that it has while all is well; None for a mapping of a stream,
        which knows no such thing and can only be enabled and disabled
    :param retries: how often a stream's tries a batch again while all is well; None leaves that alone always
    """
    if mapping is None or mapping.state == "Deleting":
        return _NOTHING
    if mapping.state in _IN_TRANSIT or mapping.state not in _SETTLED:
        # Lambda refuses changes while it makes one, and what comes of this one is not known yet.
        return _WAIT
    is_enabled = mapping.state == "Enabled"
    if retries is not None and feed is not Feed.FULL:
        retries = ENDLESS_RETRIES
    if feed is Feed.PAUSED:
        # The retries at once: an invocation that is under way has yet to end.
        return Step(StepKind.UPDATE, enabled=False, retries=retries) if is_enabled else _NOTHING
    wanted = configured
    if configured is not None and feed is Feed.TRICKLE:
        wanted = min(configured, TRICKLE_CONCURRENCY)
    is_as_wanted = wanted is None or mapping.concurrency == wanted
    if is_enabled and is_as_wanted and (retries is None or mapping.retries == retries):
        return _NOTHING
    return Step(StepKind.UPDATE, enabled=True, concurrency=wanted, retries=retries)
