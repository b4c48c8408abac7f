"""Artillery-format profiles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.demo.profile import Phase, ProfileError, arrival_times, load_profile, parse_profile

SCENARIO = """
scenarios:
  - flow:
      - post: {url: /orders, json: {order_id: x}}
"""

rates = st.floats(min_value=0.1, max_value=50)
phases = st.one_of(
    st.builds(
        Phase,
        duration=st.floats(min_value=0.5, max_value=60),
        rate=rates,
        ramp_to=st.none() | rates,
        poisson=st.booleans(),
    ),
    st.builds(
        Phase, duration=st.floats(min_value=0.5, max_value=60), count=st.integers(min_value=1, max_value=200)
    ),
    st.builds(Phase, duration=st.floats(min_value=0.5, max_value=60)),
)
lists_of_phases = st.lists(phases, min_size=1, max_size=4).map(tuple)


def profile_of(phase: str) -> str:
    """A profile of one phase."""
    return f"config:\n  phases:\n    - {phase}\n{SCENARIO}"


@given(lists_of_phases, st.integers())
def test_arrivals_are_in_order_and_within_the_profile(phases: tuple[Phase, ...], seed: int) -> None:
    """Whatever the phases, arrivals never go back in time nor past the end."""
    times = arrival_times(phases, seed=seed)
    assert list(times) == sorted(times)
    assert all(0 <= at <= sum(phase.duration for phase in phases) + 1e-6 for at in times)


@given(lists_of_phases, st.integers())
def test_the_same_seed_gives_the_same_arrivals(phases: tuple[Phase, ...], seed: int) -> None:
    """Arrival times are a function of phases and seed."""
    assert arrival_times(phases, seed=seed) == arrival_times(phases, seed=seed)


@given(st.lists(phases.filter(lambda phase: not phase.poisson), min_size=1, max_size=4).map(tuple))
def test_even_arrivals_are_as_many_as_the_rate_says(phases: tuple[Phase, ...]) -> None:
    """Without randomness each phase brings its rate times its duration, rounded down."""
    assert len(arrival_times(phases)) == sum(int(phase.expected + 1e-9) for phase in phases)


def test_a_constant_rate_is_evenly_spaced() -> None:
    """Four a second come every quarter of a second, the first one at once."""
    assert arrival_times((Phase(duration=1, rate=4),)) == pytest.approx((0, 0.25, 0.5, 0.75))


def test_a_ramp_grows_denser() -> None:
    """In a ramp from 1/s to 9/s the gaps shrink, and the second half brings 70 % of the arrivals."""
    times = arrival_times((Phase(duration=10, rate=1, ramp_to=9),))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps, reverse=True)
    assert sum(1 for at in times if at >= 5) / len(times) == pytest.approx(0.7, abs=0.03)


def test_poisson_arrivals_keep_the_mean() -> None:
    """Random arrivals over a long time come at the rate that was asked for, and not evenly."""
    times = arrival_times((Phase(duration=2000, rate=5, poisson=True),), seed=1)
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert len({round(b - a, 6) for a, b in pairwise(times)}) > 9000


def test_all_of_artillerys_phases_are_read() -> None:
    """Rate, ramp, count, pause and mode are understood, with units."""
    text = f"""
config:
  target: http://127.0.0.1
  phases:
    - {{duration: 1m, arrivalRate: 2, name: warm up}}
    - {{duration: 500ms, arrivalRate: 2, rampTo: 4, mode: poisson}}
    - {{pause: 3s}}
    - {{duration: 10, arrivalCount: 5}}
{SCENARIO}"""
    profile = parse_profile(text)
    assert profile.phases == (
        Phase(duration=60, rate=2, name="warm up"),
        Phase(duration=0.5, rate=2, ramp_to=4, poisson=True),
        Phase(duration=3, name="pause"),
        Phase(duration=10, count=5),
    )
    assert (profile.path, profile.body) == ("/orders", {"order_id": "x"})
    assert profile.duration == pytest.approx(73.5)


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("{duration: 60, arrivalRate: 1, maxVusers: 10}", "maxVusers is not supported"),
        ("{duration: 60}", "neither arrivalRate nor arrivalCount nor pause"),
        ("{duration: soon, arrivalRate: 1}", "duration is 'soon'"),
        ("{duration: 0, arrivalRate: 1}", "duration is 0"),
        ("{duration: -5, arrivalRate: 1}", "duration is -5"),
        ("{duration: true, arrivalRate: 1}", "duration is True"),
        ("{duration: 1, arrivalRate: many}", "arrivalRate is 'many'"),
        ("{duration: 1, arrivalRate: .nan}", "arrivalRate is nan"),
        ("{duration: 1, arrivalRate: -1}", "arrivalRate is -1"),
        ("{duration: 1, arrivalRate: 1, mode: bursty}", "mode is 'bursty'"),
        ("{duration: 1, arrivalCount: 1.5}", "arrivalCount is 1.5"),
        ("{duration: 1, arrivalCount: 5, rampTo: 9}", "a counted phase: rampTo is not supported"),
        ("{pause: 5, arrivalRate: 2}", "a pause: arrivalRate is not supported"),
        ("{duration: 5, arrivalRate: 0}", "nobody ever arrives"),
        ("soon", "is no mapping"),
    ],
)
def test_what_is_not_understood_is_named(phase: str, said: str) -> None:
    """Each misspelt, impossible or unsupported entry is refused with its place in the file."""
    with pytest.raises(ProfileError) as refused:
        parse_profile(profile_of(phase))
    assert said in str(refused.value)
    assert "config.phases" in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    """One error lists everything that is wrong."""
    text = """
config:
  plugins: {}
  phases:
    - {duration: soon, arrivalRate: 1}
scenarios:
  - flow:
      - get: {url: /}
"""
    with pytest.raises(ProfileError) as refused:
        parse_profile(text, source="load.yml")
    assert str(refused.value).count("\n  - ") == 3
    assert "load.yml" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: [",
        "config: 3",
        "config: {phases: []}",
        "scenarios: []",
        "config: {phases: [1]}\nscenarios: [{flow: [{post: 3}]}]",
    ],
)
def test_no_text_makes_it_crash(text: str) -> None:
    """Files that are no profile at all are refused in the same way."""
    with pytest.raises(ProfileError):
        parse_profile(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A profile that isn't there is told with its path."""
    with pytest.raises(ProfileError, match=r"nothing\.yml"):
        load_profile(tmp_path / "nothing.yml")


def test_a_stretched_profile_keeps_its_rates(write_profile: Callable[[str], Path]) -> None:
    """A duration factor makes a profile longer or shorter at the same pace."""
    profile = load_profile(write_profile(profile_of("{duration: 10, arrivalRate: 4}")))
    assert len(arrival_times(profile.stretched(0.5).phases)) == 20
    with pytest.raises(ProfileError, match="duration factor"):
        profile.stretched(0)
