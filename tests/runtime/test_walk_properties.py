"""Any batch with any poison in it, through the walk and the modelled event source mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from resilient_runtime.streams.effects import Outcome
from shard_world import ShardWorld

from resilient_constructs.forecast.stream_mapping import Failed, StreamMapping

KEYS = 7


@st.composite
def batches(draw: st.DrawFn, most: int = 500) -> tuple[list[str], frozenset[int]]:
    """The keys of a batch, and which of its records are poison."""
    count = draw(st.integers(1, most))
    spread = draw(st.integers(1, KEYS))
    seed = draw(st.integers(0, 2**16))
    keys = [f"key-{(seed * (one + 1) * 2654435761 >> 7) % spread}" for one in range(count)]
    few = st.frozensets(st.integers(0, count - 1), max_size=min(count, 12))
    many = st.sets(st.integers(0, count - 1), max_size=count).map(frozenset)
    return keys, draw(st.one_of(few, many, st.just(frozenset(range(count)))))


def bound(poison: int, count: int) -> int:
    """Invocations that isolating may take."""
    return 2 * poison * math.ceil(math.log2(count)) + poison + 1


def fed(world: ShardWorld, *, halves_unbegun: bool = True) -> tuple[StreamMapping[int], list[int]]:
    """The world after all its records were fed in one batch, and what was discarded."""
    discarded: list[int] = []
    mapping = StreamMapping(
        invoke=world.invoke,
        discard=lambda records, why, invocations: discarded.extend(records),
        batch_size=len(world.keys),
        max_retries=1,
        halves_unbegun=halves_unbegun,
    )
    mapping.feed(range(len(world.keys)))
    return mapping, discarded


def assert_in_order(world: ShardWorld) -> None:
    """First completions of a key are in the shard's order."""
    first = list(dict.fromkeys(world.completed))
    for key in set(world.keys):
        of_key = [one for one in first if world.keys[one] == key]
        assert of_key == sorted(of_key)


@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from([1, 10, 500]), st.booleans())
def test_poison_is_kept_once_and_everything_else_is_done_in_order(
    batch: tuple[list[str], frozenset[int]], chunk: int, halves_unbegun: bool
) -> None:
    """Whatever is poison is kept once, all others are done in their keys' order, in few invocations."""
    keys, poison = batch

    def handle(records: Sequence[int]) -> Outcome:
        return Outcome.FAULT if poison & set(records) else Outcome.DONE

    world = ShardWorld(keys, handle, chunk=chunk)
    mapping, discarded = fed(world, halves_unbegun=halves_unbegun)
    assert sorted(set(world.completed)) == sorted(set(range(len(keys))) - poison)
    assert sorted(world.stored) == sorted(poison)
    assert not discarded
    assert mapping.invocations <= bound(len(poison), len(keys))
    assert_in_order(world)


@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from([1, 10, 500]))
def test_records_that_kill_the_process_are_discarded_alone(
    batch: tuple[list[str], frozenset[int]], chunk: int
) -> None:
    """A process that dies of a record costs halvings and one retry, and that record alone is given up."""
    keys, deadly = batch

    def handle(records: Sequence[int]) -> Outcome:
        if deadly & set(records):
            raise Failed
        return Outcome.DONE

    world = ShardWorld(keys, handle, chunk=chunk)
    mapping, discarded = fed(world)
    assert set(world.completed) == set(range(len(keys))) - deadly
    assert sorted(discarded) == sorted(deadly)
    assert mapping.invocations <= bound(len(deadly), len(keys))
    assert_in_order(world)


@settings(max_examples=200, deadline=None)
@given(batches(most=200), st.integers(0, 300), st.integers(1, 40), st.sampled_from([1, 10]))
def test_an_outage_is_not_mistaken_for_poison(
    batch: tuple[list[str], frozenset[int]], begins: int, lasts: int, chunk: int
) -> None:
    """While the downstream is away nothing is kept as poison, and afterwards only what is poison."""
    keys, _ = batch
    world = ShardWorld(keys, lambda _: Outcome.DONE, chunk=chunk, pauses=1_000)

    def handle(_: Sequence[int]) -> Outcome:
        return Outcome.WEATHER if begins < world.attempts <= begins + lasts else Outcome.DONE

    world.handle = handle
    mapping, discarded = fed(world)
    assert not world.stored
    assert not discarded
    assert sorted(set(world.completed)) == list(range(len(keys)))
    assert mapping.invocations == 1
    assert_in_order(world)


@settings(max_examples=200, deadline=None)
@given(batches(most=100), st.integers(1, 9), st.sampled_from([1, 10]))
def test_an_invocation_that_runs_out_of_time_is_gone_on_with(
    batch: tuple[list[str], frozenset[int]], budget: int, chunk: int
) -> None:
    """Where time ends in the middle, the next invocation goes on; nothing is lost or out of order."""
    keys, poison = batch

    def handle(records: Sequence[int]) -> Outcome:
        return Outcome.FAULT if poison & set(records) else Outcome.DONE

    world = ShardWorld(keys, handle, chunk=chunk, budget=budget)
    _, discarded = fed(world)
    assert set(world.completed) | set(world.stored) | set(discarded) == set(range(len(keys)))
    assert set(discarded) <= poison
    assert set(world.stored) <= poison
    assert_in_order(world)
