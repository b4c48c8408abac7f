from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_constructs.forecast.engine import Engine


def test_events_happen_in_the_order_of_their_moments() -> None:
    """Whatever the order in which they were told; those of one moment in just that order."""
    seen: list[tuple[str, float]] = []
    with Engine() as engine:
        for name, moment in (("c", 2.0), ("a", 1.0), ("d", 2.0), ("b", 1.5)):
            engine.at(moment, lambda name=name: seen.append((name, engine.now)))
        engine.run()
    assert seen == [("a", 1.0), ("b", 1.5), ("c", 2.0), ("d", 2.0)]


@settings(deadline=None)  # each example starts threads
@given(st.lists(st.lists(st.floats(0, 10), max_size=5), max_size=8))
def test_work_sleeps_in_virtual_time(naps: list[list[float]]) -> None:
    """Each piece of work wakes when its own naps are over, however many others there are."""
    ended: dict[int, float] = {}
    with Engine() as engine:

        def work(number: int) -> None:
            for seconds in naps[number]:
                engine.sleep(seconds)
            ended[number] = engine.now

        for number in range(len(naps)):
            engine.at(1.0, lambda number=number: engine.start(lambda: work(number)))
        engine.run()
    assert ended == {number: pytest.approx(1.0 + sum(each)) for number, each in enumerate(naps)}


def test_only_one_piece_of_work_runs_at_a_time() -> None:
    """Between two sleeps nobody interferes, so nothing needs a lock."""
    with Engine() as engine:
        counted = [0]

        def work() -> None:
            for _ in range(50):
                before = counted[0]
                sum(range(200))
                counted[0] = before + 1
                engine.sleep(0.1)

        for _ in range(20):
            engine.start(work)
        engine.run()
        assert counted == [1000]


def test_work_may_begin_other_work() -> None:
    """It goes on first, to its own next sleep."""
    seen: list[str] = []
    with Engine() as engine:

        def inner() -> None:
            seen.append("inner")

        def outer() -> None:
            engine.start(inner)
            seen.append("outer")

        engine.start(outer)
        engine.run()
    assert seen == ["outer", "inner"]


def test_an_error_ends_the_run() -> None:
    """What work raises reaches whoever runs the engine."""

    def work() -> None:
        engine.sleep(1)
        raise LookupError("wrong")

    with Engine() as engine:
        engine.start(work)
        with pytest.raises(LookupError, match="wrong"):
            engine.run()


def test_leaving_the_engine_ends_its_threads() -> None:
    """Work that still sleeps is abandoned, and its cleaning up may sleep no more."""
    before = threading.active_count()
    cleaned: list[float] = []
    with Engine() as engine:

        def work() -> None:
            try:
                engine.sleep(1_000)
            finally:
                cleaned.append(engine.now)
                engine.sleep(1)

        engine.start(work)
        engine.start(lambda: engine.sleep(1))
        engine.run(until=5)
        assert engine.now == 5
    assert cleaned == [5]
    assert threading.active_count() == before


def test_only_work_can_sleep() -> None:
    """An event takes no time; one that tries to is told so."""
    with Engine() as engine:
        engine.at(1, lambda: engine.sleep(1))
        with pytest.raises(RuntimeError, match="only work that start"):
            engine.run()


def test_nothing_happens_in_the_past() -> None:
    """An event before now is a mistake in whoever tells it."""
    with Engine() as engine:
        engine.at(2, lambda: engine.at(1, list))
        with pytest.raises(ValueError, match="but it is 2"):
            engine.run()


def test_both_clocks_show_virtual_time() -> None:
    """Durations and timestamps advance together."""
    with Engine(epoch=1000) as engine:
        engine.at(5, list)
        engine.run()
        assert (engine.clock.wall(), engine.clock.ticks()) == (1005, 5)
