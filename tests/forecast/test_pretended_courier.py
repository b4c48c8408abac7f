from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_constructs.forecast.courier import Answer, Courier, Manner, outcomes, soonest_end
from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.traffic import Phase, arrival_times


def test_the_courier_admits_its_burst_and_then_its_rate() -> None:
    """Of a hundred calls at once ten are taken, and ten more in each second after."""
    with Engine() as engine:
        courier = Courier(engine)
        for second in range(4):
            engine.at(second, lambda: [courier.call() for _ in range(100)])
        engine.run()
        assert (len(courier.admitted), len(courier.refused)) == (40, 360)
        assert courier.share_refused == 0.9


def test_its_outcomes_are_those_of_the_experiment() -> None:
    """One call in five fails at once; the others take one to ten whole seconds, each as often."""
    seconds = list(islice(outcomes(1), 101_000))
    assert seconds.count(0) == pytest.approx(20_000, rel=0.03)
    assert [seconds.count(each) for each in range(1, 11)] == pytest.approx([8_100] * 10, rel=0.05)


def test_the_weather_does_not_depend_on_who_calls() -> None:
    """Refused calls and other moments leave the outcome of the n-th admitted call as it is."""
    answers: list[list[Answer]] = []
    for step in (0.1, 0.03):
        with Engine() as engine:
            courier = Courier(engine, seed=3)
            said: list[Answer] = []
            for n in range(300):
                engine.at(n * step, lambda courier=courier, said=said: said.append(courier.call()))
            engine.run()
        answers.append([one for one in said if one.status != 429])
    slow, fast = answers
    assert slow[: len(fast)] == fast


def test_the_bound_of_a_courier_that_never_fails_is_plain_to_see() -> None:
    """A hundred at once: ten in the first moment, ninety in nine seconds, and the last takes one more."""
    always = Manner(failing=0, fastest=1, slowest=1)
    assert soonest_end([0.0] * 100, seed=0, manner=always) == pytest.approx(9 + 1)
    assert soonest_end([0.0, 50.0], seed=0, manner=always) == 51


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=40).map(sorted),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 2),
)
def test_no_consumer_is_faster_than_the_bound(
    arrivals: list[float], seed: int, luck: int, haste: float
) -> None:
    """Whoever calls, however often, in whatever order: the last delivery ends no sooner."""
    dice = random.Random(luck)
    manner = Manner(requests_per_second=2, burst=3)
    with Engine() as engine:
        courier = Courier(engine, seed=seed, manner=manner)
        ended: list[float] = []

        def attempt() -> None:
            answer = courier.call()
            if answer.status == 200:
                engine.after(answer.seconds, lambda: ended.append(engine.now))
            else:
                engine.after(haste * dice.random() + 0.01, attempt)

        for moment in arrivals:
            engine.at(moment, attempt)
        engine.run()
    assert len(ended) == len(arrivals)
    assert max(ended) >= soonest_end(arrivals, seed=seed, manner=manner) - 1e-6


def test_traffic_follows_its_phases() -> None:
    """A ramp brings as many as its mean rate, ever closer together, and a phase begins where one ended."""
    times = arrival_times((Phase(duration=10, rate=1, ramp_to=3), Phase(duration=5, rate=2)))
    assert len(times) == 30
    assert times[0] == 0
    assert times[20] == 10
    assert times[19] - times[18] < times[1] - times[0]
    random_ones = arrival_times((Phase(duration=1000, rate=5, poisson=True),), seed=4)
    assert len(random_ones) == pytest.approx(5000, rel=0.06)
    assert random_ones == arrival_times((Phase(duration=1000, rate=5, poisson=True),), seed=4)
