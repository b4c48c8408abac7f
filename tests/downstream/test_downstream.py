"""A downstream's arithmetic, and the budget that its consumers share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack, assertions
from constructs import Construct
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_constructs.downstream import Downstream
from resilient_constructs.testing import count_jsii


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


@pytest.mark.parametrize(
    ("rate", "latency", "connections", "concurrency"),
    [
        (10, Duration.seconds(5), None, 75),
        (10, Duration.millis(300), None, 5),
        (10, None, None, 15),
        (7, Duration.millis(1100), None, 12),
        (1, Duration.millis(500), None, 2),
        (10_000, Duration.seconds(5), None, 1000),
        (10, Duration.seconds(5), 20, 20),
        (None, None, 20, 20),
    ],
)
def test_concurrency_is_rate_times_latency_and_headroom_within_the_connections(
    stack: Stack, rate: float | None, latency: Duration | None, connections: int | None, concurrency: int
) -> None:
    """Max concurrency is 1.5 × rate × latency, within the connections and what a mapping can be held to."""
    downstream = Downstream(
        stack, "Courier", requests_per_second=rate, typical_latency=latency, connections=connections
    )
    assert downstream.max_concurrency == concurrency


def test_the_arithmetic_can_be_read(stack: Stack) -> None:
    """The arithmetic names rate, latency, connections and what came of them."""
    downstream = Downstream(
        stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(5), connections=40
    )
    assert downstream.arithmetic == (
        "10 requests/s × 5 s = 50 calls under way (Little's law); "
        "× 1.5 so that a slow call costs no turn = 75 callers; "
        "at most 40 connections → max concurrency 40; "
        "10 requests/s ÷ 40 callers = one call of each in 4 s"
    )


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0.001, 1e6), latency=st.integers(1, 900_000))
def test_concurrency_is_always_one_that_lambda_takes(rate: float, latency: int) -> None:
    """Whatever the rate and latency, the concurrency is a whole number from 2 to 1,000."""
    downstream = Downstream(
        Stack(App(), "Shop"), "Courier", requests_per_second=rate, typical_latency=Duration.millis(latency)
    )
    assert 2 <= downstream.max_concurrency <= 1000
    assert isinstance(downstream.max_concurrency, int)


def test_all_faults_are_told_at_once(stack: Stack) -> None:
    """Every impossible value is named in one error, with its range and its page."""
    with pytest.raises(ValueError, match="Downstream 'Courier' has 4 faults") as error:
        Downstream(
            stack,
            "Courier",
            requests_per_second=0,
            burst=0,
            typical_latency=Duration.seconds(1000),
            connections=1,
        )
    text = str(error.value)
    for told in ("requests_per_second is 0", "burst is 0", "typical_latency is 1000", "connections is 1"):
        assert told in text
    assert "https://docs.aws.amazon.com/" in text


def test_a_downstream_without_any_limit_is_refused(stack: Stack) -> None:
    """Neither rate nor connections leaves nothing to compute a concurrency from."""
    with pytest.raises(ValueError, match="requests_per_second is None; allowed: a rate, or connections"):
        Downstream(stack, "Courier")


def test_a_token_latency_is_refused(stack: Stack) -> None:
    """A latency from a parameter cannot be computed with at synth, and the error says so."""
    seconds = CfnParameter(stack, "Latency", type="Number").value_as_number
    with pytest.raises(ValueError, match="typical_latency is 'a token'; allowed: a number known at synth"):
        Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(seconds))


@contextmanager
def refused() -> Iterator[pytest.ExceptionInfo[RuntimeError]]:
    """What synth says when validation fails."""
    with pytest.raises(RuntimeError, match="Validation failed") as error:
        yield error


def test_consumers_of_all_stacks_share_the_connections() -> None:
    """Synth refuses consumers that could exceed the connections, and names each with its number."""
    app = App()
    downstream = Downstream(Stack(app, "Base"), "Courier", connections=50)
    downstream.register(Construct(Stack(app, "Shop"), "Delivery"), 30)
    downstream.register(Construct(Stack(app, "Back"), "Returns"), 21)
    with refused() as error:
        app.synth()
    text = str(error.value)
    assert "adds up to 51; allowed: at most 50 connections" in text
    assert "Shop/Delivery (30)" in text
    assert "Back/Returns (21)" in text


def test_a_budget_that_suffices_is_no_error() -> None:
    """Callers that add up to exactly the connections synthesize."""
    app = App()
    downstream = Downstream(Stack(app, "Base"), "Courier", connections=50)
    downstream.register(Construct(Stack(app, "Shop"), "Delivery"), 30)
    downstream.register(Construct(Stack(app, "Back"), "Returns"), 20)
    app.synth()
    assert downstream.registered_concurrency == 50


def test_a_token_concurrency_passes(stack: Stack) -> None:
    """A concurrency that only CloudFormation knows is left out of the budget."""
    downstream = Downstream(stack, "Courier", connections=2)
    token = CfnParameter(stack, "Concurrency", type="Number").value_as_number
    downstream.register(Construct(stack, "Delivery"), token)
    assert downstream.registered_concurrency == 0
    assert downstream.settings(token).max_concurrency is None


def warnings_of(stack: Stack, path: str) -> list[str]:
    """What synth warns this construct of."""
    app = stack.node.root
    assert isinstance(app, App)
    folder = Path(app.synth().directory)
    artifact = json.loads((folder / "manifest.json").read_text())["artifacts"]["Shop"]
    found = artifact.get("metadata") or json.loads((folder / artifact["additionalMetadataFile"]).read_text())
    return [one["data"] for one in found.get(path, ()) if one["type"] == "aws:cdk:warning"]


def test_callers_that_do_not_wait_for_turns_are_held_to_littles_law(stack: Stack) -> None:
    """Together above rate × latency, each gets a warning with both numbers and the remedy."""
    downstream = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(1))
    assert downstream.unpaced_concurrency == 10
    downstream.register(Construct(stack, "Delivery"), 10)
    downstream.register(Construct(stack, "Returns"), 5, is_paced=True)
    for path in ("/Shop/Delivery", "/Shop/Returns"):
        (warning,) = warnings_of(stack, path)
        assert "can make 15 calls at once, but 10 keep it busy" in warning
        assert "share the 10 between its callers" in warning


def test_callers_that_wait_for_turns_may_be_half_as_many_more(stack: Stack) -> None:
    """The headroom is no clash; one caller more is, because its waiting is paid for."""
    downstream = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(1))
    downstream.register(Construct(stack, "Delivery"), 15, is_paced=True, timeout=30)
    assert warnings_of(stack, "/Shop/Delivery") == []
    other = Stack(App(), "Shop")
    downstream = Downstream(other, "Courier", requests_per_second=10, typical_latency=Duration.seconds(1))
    downstream.register(Construct(other, "Delivery"), 15, is_paced=True, timeout=30)
    downstream.register(Construct(other, "Returns"), 5, is_paced=True, timeout=30)
    (warning,) = warnings_of(other, "/Shop/Returns")
    assert "can make 20 calls at once, but 15 keep it busy" in warning
    assert "each waits 2 s for its turn" in warning


def test_too_few_callers_for_the_rate_are_warned_of_once_all_are_known(stack: Stack) -> None:
    """Two consumers that reach the rate together are no clash; one of them alone is."""
    downstream = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(1))
    downstream.register(Construct(stack, "Delivery"), 5, is_paced=True, timeout=30)
    downstream.register(Construct(stack, "Returns"), 5, is_paced=True, timeout=30)
    assert warnings_of(stack, "/Shop/Delivery") == []
    alone = Stack(App(), "Shop")
    downstream = Downstream(alone, "Courier", requests_per_second=10, typical_latency=Duration.seconds(1))
    downstream.register(Construct(alone, "Delivery"), 5, is_paced=True, timeout=30)
    (warning,) = warnings_of(alone, "/Shop/Delivery")
    assert "at most 5 calls/s, but 10 are allowed" in warning


def test_connections_below_the_rate_are_no_clash(stack: Stack) -> None:
    """Whoever names both limits is held to the smaller one, and not told to exceed it."""
    downstream = Downstream(
        stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(5), connections=20
    )
    downstream.register(Construct(stack, "Delivery"), 20, is_paced=True, timeout=30)
    assert warnings_of(stack, "/Shop/Delivery") == []


def test_a_turn_beyond_the_timeout_is_warned_of(stack: Stack) -> None:
    """A function that may not run until its turn comes gives messages back uncalled."""
    downstream = Downstream(stack, "Courier", requests_per_second=1, typical_latency=Duration.seconds(10))
    downstream.register(Construct(stack, "Delivery"), 15, is_paced=True, timeout=20)
    (warning,) = warnings_of(stack, "/Shop/Delivery")
    assert "turn comes every 15 s" in warning
    assert "Raise the timeout to 26 s" in warning


def test_settings_carry_what_a_function_must_know(stack: Stack) -> None:
    """The function is told the name, the rate, the burst and the concurrency of all callers together."""
    downstream = Downstream(stack, "Courier", requests_per_second=10, burst=20)
    told = downstream.settings(12)
    assert (told.name, told.requests_per_second, told.burst) == ("Courier", 10, 20)
    assert stack.resolve(told.max_concurrency) == "12"


def test_all_callers_share_the_rate(stack: Stack) -> None:
    """Whoever was told first is told of those who come later, too; in other stacks as well."""
    downstream = Downstream(stack, "Courier", requests_per_second=10)
    first = downstream.settings(5)
    downstream.register(Construct(stack, "Delivery"), 5)
    downstream.register(Construct(Stack(App(), "Back"), "Returns"), 10)
    assert stack.resolve(first.max_concurrency) == "15"
    assert stack.resolve(downstream.settings(10).max_concurrency) == "15"


def test_the_arithmetic_stands_in_the_template(stack: Stack) -> None:
    """The stack's metadata has the plan as it is among the callers that there are."""
    downstream = Downstream(stack, "Courier", requests_per_second=10, typical_latency=Duration.seconds(5))
    downstream.register(Construct(stack, "Delivery"), 60, is_paced=True)
    told = assertions.Template.from_stack(stack).to_json()["Metadata"]["resilient:Downstream/Courier"]
    assert told["MaxConcurrency"] == 60
    assert told["SecondsBetweenCalls"] == 6
    assert "= 50 calls under way" in told["Arithmetic"]


def test_it_costs_few_round_trips(stack: Stack) -> None:
    """A downstream with a budget costs at most eight requests to Node."""
    with count_jsii() as requests:
        Downstream(stack, "Courier", requests_per_second=10, connections=50)
    assert requests.count <= 8
