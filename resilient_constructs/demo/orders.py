"""What is going to be sent, decided before anything is sent: good orders, poison ones and malformed ones.

Pure: the same profile, seed and run give the same requests, so a run can be repeated.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .profile import Profile, ProfileError, arrival_times

__all__ = ["Kind", "Mix", "Planned", "plan", "render"]

_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_NUMBER = re.compile(r"\$randomNumber\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_STRING = re.compile(r"\$randomString\(\s*(\d+)?\s*\)")


class Kind(StrEnum):
    """What a request is meant to be."""

    GOOD = "good"
    POISON = "poison"
    """Valid at the door, refused by the courier whatever the weather: it belongs in a dead-letter queue."""
    INVALID_JSON = "invalid JSON"
    SCHEMA_BREACH = "schema breach"
    WRONG_TYPE = "wrong content type"

    @property
    def malformed(self) -> bool:
        """Whether the door has to reject it."""
        return self in _MALFORMED


_MALFORMED = (Kind.INVALID_JSON, Kind.SCHEMA_BREACH, Kind.WRONG_TYPE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mix:
    """Which share of the requests is bad, and how.

    :param poison: share of poison orders. Default: 0.02; at least one
    :param malformed: share of malformed requests, every kind in turn. Default: 0.01; at least one
    :param poisoned: properties that make an order poison
    :raises ValueError: when the shares are no shares
    """

    poison: float = 0.02
    malformed: float = 0.01
    poisoned: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (self.poison >= 0 and self.malformed >= 0 and self.poison + self.malformed <= 1):
            raise ValueError(
                f"Mix: poison is {self.poison!r} and malformed {self.malformed!r}; "
                "allowed: shares that add up to at most 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One request to come.

    :param at: seconds after the start
    :param kind: what it is meant to be
    :param correlation_id: sent as ``X-Correlation-Id``, and looked for everywhere afterwards
    :param body: the bytes to post
    :param content_type: its media type
    """

    at: float
    kind: Kind
    correlation_id: str
    body: bytes
    content_type: str = "application/json"


def plan(profile: Profile, *, seed: int, run: str, mix: Mix | None = None) -> tuple[Planned, ...]:
    """Every request of a run, in order of time.

    :param run: begins every correlation ID, so that two runs on one local AWS are told apart
    :raises ProfileError: when the body uses a template that isn't known
    """
    mix = mix or Mix()
    times = arrival_times(profile.phases, seed=seed)
    dice = random.Random(f"{seed} orders")  # noqa: S311 (traffic, not cryptography)
    kinds = _kinds(len(times), mix, dice)
    poisoned = mix.poisoned or {"address": "nowhere"}
    planned = []
    for index, (at, kind) in enumerate(zip(times, kinds, strict=True)):
        body = render(profile.body, dice)
        if kind is Kind.POISON:
            body |= poisoned
        planned.append(
            Planned(
                at=at,
                kind=kind,
                correlation_id=f"{run}-{index:05d}",
                body=_bytes(body, kind),
                content_type="text/plain" if kind is Kind.WRONG_TYPE else "application/json",
            )
        )
    return tuple(planned)


def _kinds(count: int, mix: Mix, dice: random.Random) -> list[Kind]:
    """Exact shares at random places: a small run has its poison too, which dice don't promise."""
    poison = min(count, max(1, round(count * mix.poison))) if mix.poison else 0
    malformed = min(count - poison, max(1, round(count * mix.malformed))) if mix.malformed else 0
    bad = [Kind.POISON] * poison + [_MALFORMED[n % len(_MALFORMED)] for n in range(malformed)]
    kinds = [Kind.GOOD] * count
    for place, kind in zip(dice.sample(range(count), len(bad)), bad, strict=True):
        kinds[place] = kind
    return kinds


def _bytes(body: dict[str, Any], kind: Kind) -> bytes:
    if kind is Kind.INVALID_JSON:
        return json.dumps(body).encode()[:-2]
    if kind is Kind.SCHEMA_BREACH:
        # Every property has the wrong type, whatever the schema asks of each.
        return json.dumps({key: [None] for key in body}).encode()
    return json.dumps(body).encode()


def render(value: Any, dice: random.Random) -> Any:
    """Fill in Artillery's template functions, everywhere in a JSON value.

    A string that is nothing but ``{{ $randomNumber(1, 9) }}`` becomes a number.

    :raises ProfileError: when a template isn't known
    """
    if isinstance(value, Mapping):
        return {key: render(inner, dice) for key, inner in value.items()}
    if isinstance(value, list):
        return [render(inner, dice) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _TEMPLATE.fullmatch(value)
    if alone:
        return _filled(alone[1], dice)
    return _TEMPLATE.sub(lambda match: str(_filled(match[1], dice)), value)


def _filled(call: str, dice: random.Random) -> Any:
    if number := _NUMBER.fullmatch(call):
        return dice.randint(int(number[1]), max(int(number[1]), int(number[2])))
    if text := _STRING.fullmatch(call):
        return "".join(dice.choices(string.ascii_lowercase + string.digits, k=int(text[1] or 10)))
    raise ProfileError(
        f"{{{{ {call} }}}} is not supported; "
        "allowed: {{ $randomNumber(low, high) }}, {{ $randomString(length) }}"
    )
