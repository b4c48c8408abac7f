from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.forecast.stream_mapping import Failed, StreamMapping, Throttled


class World:
    """A function that fails for some records, and what is given up."""

    def __init__(self, bad: set[int] | None = None) -> None:
        self.bad = bad or set()
        self.batches: list[tuple[int, ...]] = []
        self.discarded: list[tuple[list[int], str, int]] = []
        self.throttles = 0

    def invoke(self, records: Sequence[int]) -> int | None:
        """One invocation."""
        if self.throttles:
            self.throttles -= 1
            raise Throttled
        self.batches.append(tuple(records))
        if self.bad & set(records):
            raise Failed
        return None

    def discard(self, records: Sequence[int], why: str, invocations: int) -> None:
        """What an on-failure destination hears."""
        self.discarded.append((list(records), why, invocations))


def test_a_batch_that_fails_is_halved_without_using_up_retries() -> None:
    """Halving isolates the bad record, and only then its retries begin."""
    world = World({3})
    mapping = StreamMapping(invoke=world.invoke, discard=world.discard, max_retries=2)
    mapping.feed(range(4))
    assert world.batches == [(0, 1, 2, 3), (0, 1), (2, 3), (2,), (3,), (3,), (3,)]
    assert world.discarded == [([3], "RetryAttemptsExhausted", 3)]


def test_without_bisecting_the_whole_batch_is_given_up() -> None:
    """A plain mapping gives good records up together with the bad one."""
    world = World({3})
    mapping = StreamMapping(invoke=world.invoke, discard=world.discard, max_retries=1, bisects=False)
    mapping.feed(range(4))
    assert world.discarded == [([0, 1, 2, 3], "RetryAttemptsExhausted", 2)]


def test_a_batch_is_gone_on_with_at_the_record_that_is_returned() -> None:
    """What lies before the returned record is passed, and the rest comes as a batch of its own."""
    world = World()

    def invoke(records: Sequence[int]) -> int | None:
        world.batches.append(tuple(records))
        return 2 if len(records) == 4 else None

    StreamMapping(invoke=invoke, discard=world.discard).feed(range(4))
    assert world.batches == [(0, 1, 2, 3), (2, 3)]


def test_throttled_invocations_use_up_no_retries() -> None:
    """Invocations that could not be made are repeated, however often."""
    world = World()
    world.throttles = 50
    StreamMapping(invoke=world.invoke, discard=world.discard, max_retries=0).feed(range(2))
    assert world.batches == [(0, 1)]
    assert world.discarded == []


def test_records_beyond_their_age_are_given_up_unseen() -> None:
    """A record that is too old goes to the destination instead of to the function."""
    world = World()
    mapping = StreamMapping(invoke=world.invoke, discard=world.discard, is_too_old=lambda record: record < 2)
    mapping.feed(range(4))
    assert world.batches == [(2, 3)]
    assert world.discarded == [([0, 1], "RecordAgeExceeded", 0)]


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=10), st.integers(0, 3))
def test_every_record_is_passed_or_given_up_once(count: int, bad: set[int], retries: int) -> None:
    """Whatever fails, each record is either handled by an invocation that succeeded or given up."""
    world = World(bad)
    StreamMapping(invoke=world.invoke, discard=world.discard, max_retries=retries).feed(range(count))
    given_up = [one for records, _, _ in world.discarded for one in records]
    done = [one for batch in world.batches if not bad & set(batch) for one in batch]
    assert sorted(given_up + done) == list(range(count))
    assert set(given_up) == {one for one in bad if one < count}
