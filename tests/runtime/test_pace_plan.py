from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.pace_plan import plan_pace


def test_the_arithmetic_is_told_step_by_step() -> None:
    """From rate and latency to callers and to the pace of one, in words and numbers."""
    plan = plan_pace(requests_per_second=10, burst=10, typical_latency=5)
    assert (plan.max_concurrency, plan.interval, plan.pace) == (75, 7.5, pytest.approx(10 / 75))
    assert plan.steps() == (
        "10 requests/s × 5 s = 50 calls under way (Little's law)",
        "× 1.5 so that a slow call costs no turn = 75 callers",
        "10 requests/s ÷ 75 callers = one call of each in 7.5 s",
    )
    assert plan.clashes(timeout=29) == ()


def test_metadata_is_plain() -> None:
    """A template's metadata takes numbers and text alone."""
    metadata = plan_pace(requests_per_second=10, typical_latency=0.3).metadata()
    assert json.loads(json.dumps(metadata)) == metadata
    assert (metadata["MaxConcurrency"], metadata["SecondsBetweenCalls"]) == (5, 0.5)


@pytest.mark.parametrize(
    ("numbers", "callers", "because"),
    [
        ({"requests_per_second": 10, "typical_latency": 5, "connections": 40}, 40, "at most 40 connections"),
        ({"requests_per_second": 0.1}, 2, "an event source mapping allows 2 to 1,000"),
        ({"requests_per_second": 5000}, 1000, "an event source mapping allows 2 to 1,000"),
        ({"requests_per_second": 10, "typical_latency": 5, "max_concurrency": 60}, 60, "as given"),
    ],
)
def test_what_bounds_the_callers_is_told(numbers: dict[str, float], callers: int, because: str) -> None:
    """Where the number is not the one that was wanted, the arithmetic says why."""
    plan = plan_pace(**numbers)  # type: ignore[arg-type]
    assert plan.max_concurrency == callers
    assert plan.steps()[2] == f"{because} → max concurrency {callers}"


def test_too_few_callers_are_a_clash() -> None:
    """Ten connections cannot make ten calls of five seconds a second; the numbers and the remedy are told."""
    (clash,) = plan_pace(requests_per_second=10, typical_latency=5, connections=10).clashes()
    assert clash.slug == "too-few-callers"
    assert "at most 2 calls/s, but 10 are allowed" in clash.text
    assert "Allow 75 callers" in clash.text


def test_a_turn_that_no_invocation_can_wait_for_is_a_clash() -> None:
    """A function of 30 seconds whose turn comes once a minute would spend receives on waiting."""
    (clash,) = plan_pace(requests_per_second=1, max_concurrency=60).clashes(timeout=30)
    assert clash.slug == "turn-beyond-timeout"
    assert "Raise the timeout to 62 s" in clash.text


def test_every_fault_is_told_at_once() -> None:
    """Each number out of its range, with the range."""
    with pytest.raises(ValueError, match=r"requests_per_second is 0; .*burst is 0.5; .*headroom is 0.9; "):
        plan_pace(requests_per_second=0, burst=0.5, headroom=0.9)


@given(st.floats(0.001, 1e5), st.floats(0.001, 900), st.none() | st.integers(1, 5000))
def test_the_fleet_never_paces_above_the_rate(rate: float, latency: float, connections: int | None) -> None:
    """All callers together make the rate's calls, within what a mapping allows."""
    plan = plan_pace(requests_per_second=rate, typical_latency=latency, connections=connections)
    assert 2 <= plan.max_concurrency <= 1000
    assert plan.pace * plan.max_concurrency == pytest.approx(rate)
    assert plan.reached <= rate
