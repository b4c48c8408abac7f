"""A shard's batches going through the walk, fed by the modelled event source mapping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from resilient_runtime.streams.effects import Outcome, Sight
from resilient_runtime.streams.memory import Memory
from resilient_runtime.streams.walk import Walk

from resilient_constructs.forecast.stream_mapping import Failed

Handled = Callable[[Sequence[int]], Outcome | Sight]
"""What the handler makes of these records; raises ``Failed`` when the process dies of them."""


@dataclass
class ShardWorld:
    """A function whose environment handles batches of one shard.

    :param keys: the partition key of each record, by number
    :param handle: what the handler makes of records
    :param chunk: how many it takes at once
    :param pauses: how many times it may pause in an invocation
    :param budget: attempts in one invocation; None has no end
    :param convinced_after: failures in a row after which the silence of a breaker is proof; None has none
    :param watched: whether that breaker can see
    :param store_refuses: whether the poison store refuses a record now
    :ivar invocations: how many there were, and attempts in all of them
    :ivar proofs: what each stored record was stored for, and how many attempts at it had failed
    """

    keys: Sequence[str]
    handle: Handled
    chunk: int = 1
    pauses: int = 3
    budget: int | None = None
    parks: bool = False
    convinced_after: int | None = None
    watched: bool = True
    store_refuses: Callable[[int], bool] = lambda _: False
    memory: Memory = field(default_factory=Memory)
    completed: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    parked: list[int] = field(default_factory=list)
    parked_keys: set[str] = field(default_factory=set)
    proofs: list[str] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    attempts: int = 0
    invocations: int = 0

    def invoke(self, batch: Sequence[int]) -> int | None:
        """One invocation; what the process remembers is gone when it dies."""
        self.invocations += 1
        try:
            names = [str(one) for one in batch]
            seen = self.memory.of("shard", names)
            walk = Walk(
                [self.keys[one] for one in batch],
                _Invocation(self, batch),
                seen=seen,
                chunk=self.chunk,
                convinced_after=self.convinced_after,
                parks=self.parks,
                parked_keys=self.parked_keys,
            )
            walked = walk.run()
            self.memory.keep("shard", names, seen, walked.resume_at)
        except Failed:
            self.memory = Memory()
            raise
        return None if walked.resume_at is None else batch[walked.resume_at]


class _Invocation:
    def __init__(self, world: ShardWorld, batch: Sequence[int]) -> None:
        self._world = world
        self._batch = batch
        self._pauses = world.pauses
        self._budget = world.budget

    def attempt(self, positions: Sequence[int]) -> Sight:
        self._world.attempts += 1
        records = [self._batch[at] for at in positions]
        seen = self._world.handle(records)
        sight = seen if isinstance(seen, Sight) else Sight(seen)
        if sight.outcome is Outcome.DONE:
            self._world.completed.extend(records)
        return sight

    def store(self, position: int, sight: Sight, strikes: int) -> bool:
        if self._world.store_refuses(self._batch[position]):
            return False
        self._world.stored.append(self._batch[position])
        self._world.proofs.append(sight.proof)
        self._world.failures.append(strikes)
        return True

    def park(self, position: int) -> bool:
        self._world.parked.append(self._batch[position])
        return True

    def may_begin(self) -> bool:
        if self._budget is None:
            return True
        self._budget -= 1
        return self._budget >= 0

    def pause(self, seconds: float) -> bool:
        self._pauses -= 1
        return self._pauses >= 0

    def is_watched(self) -> bool:
        return self._world.watched
