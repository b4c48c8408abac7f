"""What became of a downstream's circuit, and of what its consumers were fed: asked of AWS, told as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from resilient_runtime.controller.settings import ControllerSettings

from .records import records_of

__all__ = [
    "PAUSED",
    "Change",
    "Guard",
    "Passing",
    "Sighting",
    "Span",
    "changes",
    "circuit_spans",
    "feeding",
    "feeding_spans",
    "feeding_words",
    "guard_of",
]

Client = Callable[[str], Any]
"""Makes a boto3 client of a service: ``LocalAws.client``."""

PAUSED = 0
"""The mapping is disabled: nothing comes in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """A stack's circuit controller, and what it looks after.

    :param function: its function's name
    :param log_group: where it tells of each change
    :param mappings: UUIDs of the event source mappings that it pauses
    """

    function: str
    log_group: str
    mappings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """How a consumer was fed at one moment.

    :param at: seconds since the epoch
    :param concurrency: how many batches at a time, ``PAUSED`` while its mapping is disabled
    """

    at: float
    concurrency: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of a circuit's state, as the controller told it.

    :param at: when, in seconds since the epoch
    :param downstream: whose circuit
    :param before: the state until then
    :param after: the state since then
    :param version: the circuit's version with it; the controller may tell one change twice
    :param reason: why
    """

    at: float
    downstream: str
    before: str
    after: str
    version: int
    reason: str


class Passing(StrEnum):
    """How much passes."""

    ALL = "everything passes"
    TRICKLE = "a trickle, to probe"
    NOTHING = "nothing passes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A stretch of time in which something stayed as it was.

    :param name: how it was
    :param passing: how much could pass
    :param begin: when it began, in seconds since the epoch
    :param end: when it ended
    """

    name: str
    passing: Passing
    begin: float
    end: float


def guard_of(configuration: Mapping[str, Any], *, log_group: str) -> Guard | None:
    """The circuit controller, where a function is one.

    :param configuration: what Lambda's GetFunctionConfiguration answers
    """
    variables = configuration.get("Environment", {}).get("Variables", {})
    if "RESILIENT_FEEDS" not in variables:
        return None
    feeds = ControllerSettings.from_env(variables).feeds
    return Guard(
        function=configuration["FunctionName"],
        log_group=log_group,
        mappings=tuple(feed.mapping for feed in feeds),
    )


def feeding(client: Client, guard: Guard, *, now: float) -> Sighting:
    """How the consumers are fed at this moment; of several, the one that gets least."""
    functions = client("lambda")
    found = [_fed(functions.get_event_source_mapping(UUID=uuid)) for uuid in guard.mappings]
    return Sighting(at=now, concurrency=min(found, default=PAUSED))


def _fed(mapping: Mapping[str, Any]) -> int:
    if mapping["State"] != "Enabled":
        return PAUSED
    return int((mapping.get("ScalingConfig") or {}).get("MaximumConcurrency", 1))


def changes(client: Client, guard: Guard) -> tuple[Change, ...]:
    """Every change that the controller has told, each once, in order."""
    told = {
        (record["Downstream"], record["version"]): Change(
            at=record["_aws"]["Timestamp"] / 1000,
            downstream=record["Downstream"],
            before=record["before"],
            after=record["state"],
            version=record["version"],
            reason=record["reason"],
        )
        for record in records_of(client("logs"), guard.log_group)
        if record.get("status") == "CIRCUIT" and "before" in record
    }
    return tuple(change for _, change in sorted(told.items(), key=lambda one: one[0]))


def circuit_spans(told: Sequence[Change], *, begin: float, end: float) -> list[Span]:
    """The states of one circuit, one after the other, from ``begin`` to ``end``."""
    states = [(begin, told[0].before if told else "CLOSED"), *((each.at, each.after) for each in told)]
    return _spans(((at, state, _BY_STATE[state]) for at, state in states), end)


_BY_STATE = {
    "CLOSED": Passing.ALL,
    "DISABLED": Passing.ALL,
    "HALF_OPEN": Passing.TRICKLE,
    "OPEN": Passing.NOTHING,
    "FORCED_OPEN": Passing.NOTHING,
}


def feeding_spans(sightings: Sequence[Sighting], *, end: float) -> list[Span]:
    """What a consumer was fed, from the first sighting to ``end``."""
    most = max((each.concurrency for each in sightings), default=PAUSED)
    by_concurrency = {most: Passing.ALL, PAUSED: Passing.NOTHING}
    return _spans(
        (
            (each.at, feeding_words(each.concurrency), by_concurrency.get(each.concurrency, Passing.TRICKLE))
            for each in sightings
        ),
        end,
    )


def feeding_words(concurrency: int) -> str:
    """In words."""
    return "paused" if concurrency == PAUSED else f"{concurrency} at a time"


def _spans(moments: Iterable[tuple[float, str, Passing]], end: float) -> list[Span]:
    spans: list[Span] = []
    for at, name, passing in moments:
        if spans and spans[-1].name == name:
            continue
        if spans:
            spans[-1] = replace(spans[-1], end=at)
        spans.append(Span(name=name, passing=passing, begin=at, end=max(at, end)))
    return spans
