"""Any batch with any poison in it, through the walk and the modelled event source mapping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resilient_runtime.streams.effects import Outcome, Sight
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


def fed(
    world: ShardWorld, *, halves_unbegun: bool = True, max_retries: int = 1
) -> tuple[StreamMapping[int], list[int]]:
    """The world after all its records were fed in one batch, and what was given up.

    Of that an on-failure destination hears how it begins and how it ends, and whoever fetches it no more.
    """
    discarded: list[int] = []

    def told(records: Sequence[int], why: str, invocations: int) -> None:
        discarded.extend(range(records[0], records[-1] + 1))

    mapping = StreamMapping(
        invoke=world.invoke,
        discard=told,
        batch_size=len(world.keys),
        max_retries=max_retries,
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


GOOD, FAULT, CRASH, WEATHER = "good", "fault", "crash", "weather"
"""What a record is. Of the last kind is one that fails in the downstream, whoever else succeeds there."""


@st.composite
def mixtures(draw: st.DrawFn, most: int = 120) -> tuple[list[str], dict[int, str]]:
    """The keys of a batch, and what each record is: mostly good, or anything."""
    keys, _ = draw(batches(most=most))
    ills = st.sampled_from([FAULT, CRASH, WEATHER])
    some = st.dictionaries(st.integers(0, len(keys) - 1), ills, max_size=min(len(keys), 12))
    whole = st.lists(st.sampled_from([GOOD, FAULT, CRASH, WEATHER]), min_size=len(keys), max_size=len(keys))
    drawn = draw(st.one_of(some, whole.map(lambda kinds: dict(enumerate(kinds)))))
    return keys, {one: drawn.get(one, GOOD) for one in range(len(keys))}


class Handler:
    """Does good records, and fails of the others as they say: at the first of them in a list.

    :param kinds: what each record is
    :param in_other_hands: for how many attempts somebody else is at work on it
    """

    def __init__(self, kinds: dict[int, str], in_other_hands: dict[int, int] | None = None) -> None:
        self._kinds = kinds
        self._in_other_hands = dict(in_other_hands or {})

    def __call__(self, records: Sequence[int]) -> Outcome | Sight:
        """One attempt at these records."""
        held = [one for one in records if self._in_other_hands.get(one)]
        if held:
            self._in_other_hands[held[0]] -= 1
            return Sight(Outcome.REFUSED, retry_after=1.0, is_of_these_alone=True)
        ill = next((self._kinds[one] for one in records if self._kinds[one] != GOOD), GOOD)
        if ill == CRASH:
            raise Failed
        return {GOOD: Outcome.DONE, FAULT: Outcome.FAULT, WEATHER: Outcome.WEATHER}[ill]


def mixed_world(
    keys: list[str], handle: Callable[[Sequence[int]], Outcome | Sight], chunk: int, parks: bool
) -> ShardWorld:
    """Invocations long enough for all pauses, and a breaker that other shards keep closed."""
    return ShardWorld(keys, handle, chunk=chunk, parks=parks, pauses=100_000, convinced_after=12)


HANDS: st.SearchStrategy[dict[int, int]] = st.one_of(
    st.just({}), st.dictionaries(st.integers(0, 119), st.integers(1, 6), max_size=8)
)


def behind_poison(world: ShardWorld) -> set[int]:
    """What is parked, and has stored poison of its key before it."""
    return {
        one
        for one in world.parked
        if any(world.keys[poison] == world.keys[one] and poison < one for poison in world.stored)
    }


@settings(max_examples=300, deadline=None)
@given(mixtures(), st.sampled_from([1, 10, 500]), st.booleans(), st.booleans(), st.integers(0, 30), HANDS)
def test_whatever_a_batch_is_made_of_each_record_gets_what_it_deserves(
    mixture: tuple[list[str], dict[int, str]],
    chunk: int,
    parks: bool,
    halves_unbegun: bool,
    refusals: int,
    in_other_hands: dict[int, int],
) -> None:
    """The good are done, the poison is stored, what kills is given up alone, however late others are."""
    keys, kinds = mixture
    world = mixed_world(keys, Handler(kinds, in_other_hands), chunk, parks)
    left = iter(range(refusals))
    world.store_refuses = lambda _: next(left, None) is not None
    mapping, discarded = fed(world, halves_unbegun=halves_unbegun)
    of_kind = {kind: {one for one in kinds if kinds[one] == kind} for kind in (GOOD, FAULT, CRASH, WEATHER)}
    poison, deadly = of_kind[FAULT] | of_kind[WEATHER], of_kind[CRASH]
    parked = behind_poison(world)
    assert of_kind[GOOD] <= set(world.completed) | parked
    assert set(world.completed) <= of_kind[GOOD]
    assert poison <= set(world.stored) | parked
    assert set(world.stored) <= poison
    assert deadly <= set(discarded) | parked
    assert set(discarded) <= deadly
    assert all(world.proofs)
    assert all(times >= 2 for times in world.failures)
    assert_in_order(world)
    assert mapping.invocations <= bound(len(deadly), len(keys))
    if not deadly:
        assert mapping.invocations == 1
        assert len(set(world.stored)) == len(world.stored)
        for key in set(keys):
            # Of a key, what was done lies before its first poison, and all that follows is parked.
            ended = [
                one for one in [*world.completed, *world.stored, *world.parked] if world.keys[one] == key
            ]
            assert not parks or ended == sorted(ended)


@settings(max_examples=200, deadline=None)
@given(mixtures(), st.sampled_from([1, 10, 500]), st.booleans(), st.booleans(), st.integers(1, 4))
def test_a_store_that_is_away_for_whole_invocations_loses_nothing(
    mixture: tuple[list[str], dict[int, str]], chunk: int, parks: bool, halves_unbegun: bool, away: int
) -> None:
    """What Lambda gives up meanwhile is told, and everything else is done, stored or parked."""
    keys, kinds = mixture
    world = mixed_world(keys, Handler(kinds), chunk, parks)
    world.pauses = 500
    world.store_refuses = lambda _: world.invocations <= away
    _, discarded = fed(world, halves_unbegun=halves_unbegun)
    assert {*world.completed, *world.stored, *world.parked, *discarded} == set(range(len(keys)))
    assert {kinds[one] for one in world.completed} <= {GOOD}
    assert not any(kinds[one] in (GOOD, CRASH) for one in world.stored)
    if halves_unbegun:
        # A good record is at the head of its piece before that is given up.
        assert not any(kinds[one] == GOOD for one in discarded)
    assert_in_order(world)


class Outage:
    """A downstream that is away from some attempt on, for so many invocations, with a breaker or without.

    A breaker opens at the tenth failure, and lets one call in seven through.
    """

    def __init__(self, world: ShardWorld, begins: int, lasts: int) -> None:
        self._world = world
        self._begins = begins
        self._lasts = lasts

    def __call__(self, records: Sequence[int]) -> Outcome:
        """One attempt at these records."""
        since = self._world.attempts - self._begins
        if since <= 0 or self._world.invocations > self._lasts:
            return Outcome.DONE
        is_open = self._world.convinced_after is not None and since > 10
        return Outcome.REFUSED if is_open and since % 7 else Outcome.WEATHER


def outage_world(keys: list[str], begins: int, lasts: int, chunk: int, breaker: bool) -> ShardWorld:
    """A shard whose records are all good, in an outage."""
    world = ShardWorld(keys, lambda _: Outcome.DONE, chunk=chunk, convinced_after=12 if breaker else None)
    world.pauses = 30
    world.handle = Outage(world, begins, lasts)
    return world


OUTAGES = (st.integers(0, 40), st.integers(1, 6), st.sampled_from([1, 10, 500]), st.booleans())


@pytest.mark.parametrize("halves_unbegun", [True, False])
@settings(max_examples=150, deadline=None)
@given(batches(most=100), *OUTAGES)
def test_an_outage_of_many_invocations_costs_nothing_while_retries_are_endless(
    halves_unbegun: bool,
    batch: tuple[list[str], frozenset[int]],
    begins: int,
    lasts: int,
    chunk: int,
    breaker: bool,
) -> None:
    """Nothing is given up, nothing is poison, and afterwards everything is done, in order."""
    keys, _ = batch
    world = outage_world(keys, begins, lasts, chunk, breaker)
    _, discarded = fed(world, halves_unbegun=halves_unbegun, max_retries=-1)
    assert not discarded
    assert not world.stored
    assert set(world.completed) == set(range(len(keys)))
    assert_in_order(world)


@pytest.mark.parametrize("halves_unbegun", [True, False])
@settings(max_examples=150, deadline=None)
@given(batches(most=100), *OUTAGES)
def test_what_an_outage_makes_lambda_give_up_can_be_fetched(
    halves_unbegun: bool,
    batch: tuple[list[str], frozenset[int]],
    begins: int,
    lasts: int,
    chunk: int,
    breaker: bool,
) -> None:
    """With one retry records are given up: they lie in the ranges that are told, and all others are done."""
    keys, _ = batch
    world = outage_world(keys, begins, lasts, chunk, breaker)
    _, discarded = fed(world, halves_unbegun=halves_unbegun)
    assert not world.stored
    assert {*world.completed, *discarded} == set(range(len(keys)))
    assert len(set(discarded)) == len(discarded)


@pytest.mark.parametrize("halves_unbegun", [True, False])
@pytest.mark.parametrize("max_retries", [1, -1])
def test_the_outage_of_these_properties_outlasts_what_one_retry_bears(
    halves_unbegun: bool, max_retries: int
) -> None:
    """One that lasts six invocations has records given up with one retry, and only then."""
    world = outage_world(["a", "b"], begins=0, lasts=6, chunk=1, breaker=True)
    _, discarded = fed(world, halves_unbegun=halves_unbegun, max_retries=max_retries)
    assert bool(discarded) == (max_retries == 1)
