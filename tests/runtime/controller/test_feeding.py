"""What a mapping should be like, and the next step towards it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.controller import Feed, MappingState, Step, StepKind, decide, feed_of, feed_of_all
from resilient_runtime.controller.feeding import ENDLESS_RETRIES

NOW = 1_800_000_000.0
STATES = ("Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting")


@pytest.mark.parametrize(
    ("circuit", "feed"),
    [
        (Circuit(), Feed.FULL),
        (Circuit(state=CircuitState.DISABLED), Feed.FULL),
        (Circuit(state=CircuitState.OPEN, retry_at=NOW + 0.1), Feed.PAUSED),
        (Circuit(state=CircuitState.OPEN, retry_at=NOW), Feed.TRICKLE),
        (Circuit(state=CircuitState.OPEN), Feed.TRICKLE),
        (Circuit(state=CircuitState.HALF_OPEN), Feed.TRICKLE),
        (Circuit(state=CircuitState.FORCED_OPEN), Feed.PAUSED),
    ],
)
def test_a_circuit_says_how_much_passes(circuit: Circuit, feed: Feed) -> None:
    """An open circuit pauses until its recovery time is over, then a trickle passes until it is closed."""
    assert feed_of(circuit, NOW) is feed


def test_the_least_of_several_circuits_holds() -> None:
    """A consumer of two downstreams is paused while either of them is down."""
    down = Circuit(state=CircuitState.FORCED_OPEN)
    assert feed_of_all([Circuit(), down, Circuit(state=CircuitState.HALF_OPEN)], NOW) is Feed.PAUSED
    assert feed_of_all([Circuit(), Circuit()], NOW) is Feed.FULL


@pytest.mark.parametrize(
    ("feed", "mapping", "configured", "step"),
    [
        (Feed.PAUSED, MappingState("Enabled", 50), 50, Step(StepKind.UPDATE, enabled=False)),
        (Feed.PAUSED, MappingState("Disabled", 50), 50, Step(StepKind.NOTHING)),
        (Feed.TRICKLE, MappingState("Disabled", 50), 50, Step(StepKind.UPDATE, True, 2)),
        (Feed.TRICKLE, MappingState("Enabled", 50), 50, Step(StepKind.UPDATE, True, 2)),
        (Feed.TRICKLE, MappingState("Enabled", 2), 50, Step(StepKind.NOTHING)),
        (Feed.FULL, MappingState("Enabled", 2), 50, Step(StepKind.UPDATE, True, 50)),
        (Feed.FULL, MappingState("Disabled", 50), 50, Step(StepKind.UPDATE, True, 50)),
        (Feed.FULL, MappingState("Enabled", 50), 50, Step(StepKind.NOTHING)),
        (Feed.FULL, MappingState("Enabled", None), 50, Step(StepKind.UPDATE, True, 50)),
    ],
)
def test_a_queues_mapping_is_paused_trickled_and_restored(
    feed: Feed, mapping: MappingState, configured: int, step: Step
) -> None:
    """Open disables, half open enables at a concurrency of two, closed restores what was configured."""
    assert decide(feed, mapping, configured) == step


@pytest.mark.parametrize(
    ("feed", "state", "step"),
    [
        (Feed.PAUSED, "Enabled", Step(StepKind.UPDATE, enabled=False)),
        (Feed.TRICKLE, "Disabled", Step(StepKind.UPDATE, enabled=True)),
        (Feed.TRICKLE, "Enabled", Step(StepKind.NOTHING)),
        (Feed.FULL, "Enabled", Step(StepKind.NOTHING)),
        (Feed.FULL, "Disabled", Step(StepKind.UPDATE, enabled=True)),
    ],
)
def test_a_streams_mapping_is_only_enabled_and_disabled(feed: Feed, state: str, step: Step) -> None:
    """A mapping of Kinesis or of a DynamoDB stream knows no concurrency, and none is ever asked of it."""
    assert decide(feed, MappingState(state), None) == step


@pytest.mark.parametrize(
    ("feed", "mapping", "step"),
    [
        (Feed.PAUSED, MappingState("Enabled", None, 1), Step(StepKind.UPDATE, False, None, ENDLESS_RETRIES)),
        (Feed.PAUSED, MappingState("Disabled", None, 1), Step(StepKind.NOTHING)),
        (Feed.TRICKLE, MappingState("Disabled", None, 1), Step(StepKind.UPDATE, True, None, ENDLESS_RETRIES)),
        (Feed.TRICKLE, MappingState("Enabled", None, 1), Step(StepKind.UPDATE, True, None, ENDLESS_RETRIES)),
        (Feed.TRICKLE, MappingState("Enabled", None, ENDLESS_RETRIES), Step(StepKind.NOTHING)),
        (Feed.FULL, MappingState("Enabled", None, ENDLESS_RETRIES), Step(StepKind.UPDATE, True, None, 1)),
        (Feed.FULL, MappingState("Disabled", None, ENDLESS_RETRIES), Step(StepKind.UPDATE, True, None, 1)),
        (Feed.FULL, MappingState("Enabled", None, 1), Step(StepKind.NOTHING)),
    ],
)
def test_a_streams_retries_have_no_end_until_its_circuit_is_closed(
    feed: Feed, mapping: MappingState, step: Step
) -> None:
    """Probes that fail use up none of the few retries that tell a record which kills its process."""
    assert decide(feed, mapping, None, 1) == step


@pytest.mark.parametrize("state", ["Creating", "Enabling", "Disabling", "Updating", "SomethingNew"])
@pytest.mark.parametrize("feed", Feed)
def test_a_mapping_in_change_is_waited_for(feed: Feed, state: str) -> None:
    """Lambda refuses a change while it makes another, so the controller looks again later."""
    assert decide(feed, MappingState(state, 7), 50) == Step(StepKind.WAIT)


@pytest.mark.parametrize("mapping", [None, MappingState("Deleting")])
def test_a_mapping_that_is_gone_is_left_alone(mapping: MappingState | None) -> None:
    """There is nothing to do about a mapping that was deleted, or is just being."""
    assert decide(Feed.PAUSED, mapping, 50) == Step(StepKind.NOTHING)


@given(
    st.sampled_from(Feed),
    st.sampled_from(["Enabled", "Disabled"]),
    st.none() | st.integers(2, 1000),
    st.integers(2, 1000),
    st.integers(-1, 10),
    st.none() | st.integers(-1, 10),
)
def test_one_update_suffices(
    feed: Feed, state: str, concurrency: int | None, configured: int, has: int, retries: int | None
) -> None:
    """Whatever a settled mapping is like, after the step that is decided nothing is left to do."""
    step = decide(feed, MappingState(state, concurrency, has), configured, retries)
    if step.kind is StepKind.UPDATE:
        after = MappingState(
            "Enabled" if step.enabled else "Disabled",
            concurrency if step.concurrency is None else step.concurrency,
            has if step.retries is None else step.retries,
        )
        assert decide(feed, after, configured, retries) == Step(StepKind.NOTHING)
        assert (step.concurrency or 0) <= configured
