"""How fast a workflow starts its executions, and how environments and callers share that."""

from __future__ import annotations

import math

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilient_constructs import Downstream
from resilient_constructs.breaker_workflow.pace import Pace, choose_pace
from resilient_constructs.limits import Faults


def pace_of(
    downstream: Downstream | None = None,
    starts_per_second: float | None = None,
    max_concurrency: int | None = None,
    *,
    parks: bool = True,
) -> Pace:
    """The pace, with no fault."""
    faults = Faults("BreakerWorkflow 'Analyse'")
    pace = choose_pace(
        faults,
        downstream=downstream,
        starts_per_second=starts_per_second,
        max_concurrency=max_concurrency,
        parks=parks,
    )
    assert faults.found == []
    return pace


@pytest.fixture(scope="module")
def stack() -> Stack:
    """A stack for downstreams of different names."""
    return Stack(App(), "Shop")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=st.floats(min_value=0.001, max_value=6000), parks=st.booleans())
def test_all_environments_together_never_exceed_the_rate(rate: float, parks: bool) -> None:
    """Each environment's share, times all there can be, is the rate and not more."""
    pace = pace_of(starts_per_second=rate, parks=parks)
    together = float(pace.share(None)) * pace.environments
    assert together == pytest.approx(rate, rel=1e-4)
    assert 2 <= pace.concurrency <= 1000
    assert (pace.parked_concurrency == 2) == parks


@given(rate=st.floats(min_value=0.05, max_value=6000))
def test_a_batch_is_done_before_the_function_is_cut_off(rate: float) -> None:
    """The turns that one batch has to wait for fit into the starter's timeout."""
    pace = pace_of(starts_per_second=rate)
    assert pace.batch_size * pace.environments / rate <= pace.timeout
    assert 1 <= pace.batch_size <= 10
    assert 60 <= pace.timeout <= 900


def test_without_a_downstream_it_leaves_the_account_some_starts() -> None:
    """A hundred a second is below every region's quota."""
    assert pace_of().starts_per_second == 100
    assert pace_of().calls is None


def test_the_downstreams_rate_is_the_pace(stack: Stack) -> None:
    """Ten a second of five seconds each keep fifty under way, and start ten a second."""
    ocr = Downstream(stack, "Ocr", requests_per_second=10, typical_latency=Duration.seconds(5))
    pace = pace_of(ocr)
    assert (pace.starts_per_second, pace.calls) == (10, 50)


def test_fewer_calls_start_fewer(stack: Stack) -> None:
    """A part of the downstream's calls is that part of its rate."""
    ocr = Downstream(stack, "Half", requests_per_second=10, typical_latency=Duration.seconds(5))
    assert pace_of(ocr, max_concurrency=25).starts_per_second == 5


def test_connections_alone_make_a_rate(stack: Stack) -> None:
    """Twenty connections of two seconds each do ten calls a second."""
    database = Downstream(stack, "Database", connections=20, typical_latency=Duration.seconds(2))
    assert pace_of(database).starts_per_second == 10


def test_the_slowest_of_all_bounds_it(stack: Stack) -> None:
    """What was asked for never makes it faster than the downstream."""
    slow = Downstream(stack, "Slow", requests_per_second=10, typical_latency=Duration.seconds(5))
    assert pace_of(slow, starts_per_second=3).starts_per_second == 3
    assert pace_of(slow, starts_per_second=30).starts_per_second == 10


def test_callers_share_the_rate_by_their_calls(stack: Stack) -> None:
    """A consumer with as many calls leaves half, also when it registers later."""
    shared = Downstream(stack, "Shared", requests_per_second=10, typical_latency=Duration.seconds(5))
    pace = pace_of(shared)
    share = pace.share(shared)
    shared.register(stack, 50)
    shared.register(stack, 50)
    resolved = stack.resolve(share)
    assert float(resolved) * pace.environments == pytest.approx(5)


def test_a_workflow_that_never_registered_is_still_paced(stack: Stack) -> None:
    """The share is never larger than the whole."""
    alone = Downstream(stack, "Alone", requests_per_second=10, typical_latency=Duration.seconds(5))
    pace = pace_of(alone)
    assert float(stack.resolve(pace.share(alone))) * pace.environments == pytest.approx(10)


def test_slow_rates_have_few_environments() -> None:
    """Waiting for turns is paid for, so one start in ten seconds is waited for by as few as there can be."""
    assert pace_of(starts_per_second=0.1, parks=False).concurrency == 2
    assert pace_of(starts_per_second=1000).concurrency == math.ceil(1000 / 5)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"starts_per_second": 0}, "starts_per_second is 0; allowed: 0.001 to 6,000"),
        ({"starts_per_second": 6001}, "starts_per_second is 6001; allowed: 0.001 to 6,000"),
        ({"max_concurrency": 5}, "max_concurrency is 5; allowed: only with a downstream"),
    ],
)
def test_an_impossible_pace_is_refused(given: dict[str, int], fault: str) -> None:
    """Each is named with its range."""
    faults = Faults("BreakerWorkflow 'Analyse'")
    arguments = {"starts_per_second": None, "max_concurrency": None, **given}
    choose_pace(faults, downstream=None, parks=False, **arguments)
    assert faults.found[0].startswith(fault)


def test_a_pace_that_only_cloudformation_knows_is_refused(stack: Stack) -> None:
    """Shares are computed from it at synth."""
    rate = CfnParameter(stack, "Rate", type="Number").value_as_number
    faults = Faults("BreakerWorkflow 'Analyse'")
    choose_pace(faults, downstream=None, starts_per_second=rate, max_concurrency=None, parks=False)
    assert faults.found[0].startswith("starts_per_second is 'a token'; allowed: a number known at synth")
