"""Four shards, a downstream that is away for a while, and records that are bad in three ways.

Time is virtual: the engine runs the real runtime code, and the modelled event source mapping around it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.stream_mapping import Failed, StreamMapping

__all__ = ["Bad", "Died", "Load", "Shard", "Stream", "record_of"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
"""Seconds between two attempts of the same records, twice as long each time. AWS does not document them."""


class Died(BaseException):
    """The process that handled a record is gone."""


class Bad:
    """In which way a record is bad."""

    RAISES = "raises"
    """The handler cannot make sense of it."""
    REFUSED = "refused"
    """The downstream fails at it each time."""
    DEADLY = "deadly"
    """The process dies of it."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What comes, and when the downstream is away.

    :param records: of all shards together
    :param a_second: of one shard
    :param bad: how many records are bad in which way
    :param outage: from when until when, in seconds
    :param call: seconds that a record takes
    :param timeout: the function's
    """

    records: int = 20_000
    shards: int = 4
    a_second: float = 100.0
    keys: int = 500
    bad: Mapping[str, int] = field(default_factory=lambda: {Bad.RAISES: 49, Bad.REFUSED: 49, Bad.DEADLY: 2})
    outage: tuple[float, float] = (15.0, 45.0)
    call: float = 0.004
    timeout: float = 60.0
    batch_size: int = 100


@dataclass
class Stream:
    """All records, what each is, and what became of it."""

    load: Load
    seed: int
    bad: dict[int, str] = field(default_factory=dict)
    done_at: dict[int, float] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    pointed_at: list[int] = field(default_factory=list)
    order_broken: int = 0
    invocations: int = 0
    calls_in_outage: int = 0
    _last_of_key: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = Random(self.seed).sample(range(self.load.records), sum(self.load.bad.values()))
        ways = [way for way, count in self.load.bad.items() for _ in range(count)]
        self.bad = dict(zip(chosen, ways, strict=True))

    def key_of(self, number: int) -> int:
        """Its partition key, which its shard depends on."""
        return Random(self.seed * 1_000_003 + number).randrange(self.load.keys)

    def of_shard(self, shard: int) -> list[int]:
        """The records of a shard, in order."""
        return [one for one in range(self.load.records) if self.key_of(one) % self.load.shards == shard]

    def done(self, number: int, now: float) -> None:
        """A record was handled; noted once."""
        if number in self.done_at:
            return
        self.done_at[number] = now
        key = self.key_of(number)
        if self._last_of_key.get(key, -1) > number:
            self.order_broken += 1
        self._last_of_key[key] = max(self._last_of_key.get(key, -1), number)


class Shard:
    """One shard with its mapping, in virtual time.

    :param invoke: one invocation of the function: the first record that is not done, or None
    """

    def __init__(
        self,
        engine: Engine,
        stream: Stream,
        shard: int,
        invoke: Callable[[Sequence[int]], int | None],
        *,
        max_retries: int,
    ) -> None:
        self._engine = engine
        self._stream = stream
        self._records = stream.of_shard(shard)
        self._pause = _FIRST_PAUSE
        self._wait = 0.0
        self._invoke = invoke
        self._model: StreamMapping[int] = StreamMapping(
            invoke=self._invoked,
            discard=lambda records, *_: self._discarded(records),
            max_retries=max_retries,
        )

    def arrives_at(self, position: int) -> float:
        """When the record at this position of the shard is there."""
        return position / self._stream.load.a_second

    def run(self) -> None:
        """Poll until everything is passed."""
        position = 0
        while position < len(self._records) or self._model.is_busy:
            if self._wait:
                self._engine.sleep(self._wait)
                self._wait = 0.0
            if not self._model.is_busy:
                self._engine.sleep(max(self.arrives_at(position) - self._engine.now, 0.0) + 0.02)
                there = int(self._engine.now * self._stream.load.a_second) + 1
                ends = min(there, position + self._stream.load.batch_size, len(self._records))
                self._model.take(self._records[position:ends])
                position = ends
            self._model.poll()

    def _invoked(self, records: Sequence[int]) -> int | None:
        self._stream.invocations += 1
        try:
            resume_at = self._invoke(records)
        except Failed:
            self._pause_longer()
            raise
        if resume_at == records[0]:
            self._pause_longer()
        else:
            self._pause = _FIRST_PAUSE
        return resume_at

    def _pause_longer(self) -> None:
        self._wait = self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _discarded(self, records: Sequence[int]) -> None:
        self._stream.pointed_at.extend(records)
        self._pause = _FIRST_PAUSE


def record_of(stream: Stream, number: int) -> dict[str, Any]:
    """The record as Lambda delivers it."""
    key = stream.key_of(number)
    shard = f"shardId-{key % stream.load.shards:012d}"
    return {
        "kinesis": {
            "partitionKey": f"k{key}",
            "sequenceNumber": f"{number:056d}",
            "data": b64encode(json.dumps({"order": number}).encode()).decode(),
            "approximateArrivalTimestamp": 1_800_000_000.0,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"{shard}:{number:056d}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders",
    }
