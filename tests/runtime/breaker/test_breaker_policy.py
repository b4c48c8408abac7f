"""What a policy may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from resilient_runtime import SlowDown
from resilient_runtime.breaker import BreakerPolicy
from resilient_runtime.breaker.errors import counts_by
from resilient_runtime.slow_down import NoTurn


@pytest.mark.parametrize(
    ("prop", "value", "told"),
    [
        ("failure_rate", 0, "failure_rate is 0; allowed: a number from 0.01 to 1 a share of the calls"),
        ("outage_rate", 1.5, "outage_rate is 1.5"),
        ("slow_call_seconds", 0, "slow_call_seconds is 0; allowed: a number from 0.001 to 900 seconds"),
        ("window_seconds", 9, "window_seconds is 9; allowed: a number from 10 to 3600 seconds"),
        ("minimum_calls", 2.5, "minimum_calls is 2.5; allowed: a whole number"),
        ("probes", True, "probes is True"),
        ("cache_seconds", float("nan"), "cache_seconds is nan"),
        ("recovery_seconds", "15", "recovery_seconds is '15'"),
        ("recovery_seconds", 121, "longest_recovery_seconds is 120; allowed: at least recovery_seconds"),
        (
            "ignored_errors",
            "ValueError",
            "ignored_errors is 'ValueError'; allowed: names of",
        ),
        ("counted_errors", (ValueError,), "counted_errors is"),
        ("throttling_counts", 1, "throttling_counts is 1; allowed: True or False"),
    ],
)
def test_a_value_out_of_range_is_refused(prop: str, value: Any, told: str) -> None:
    """The error names the property, its value and what is allowed."""
    with pytest.raises(ValueError, match="BreakerPolicy: ") as refused:
        BreakerPolicy(**{prop: value})
    assert told in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    """Who corrects one does not meet the next."""
    with pytest.raises(ValueError, match=r"failure_rate is 2.*probes is 0.*cache_seconds is -1"):
        BreakerPolicy(failure_rate=2, probes=0, cache_seconds=-1)


@pytest.mark.parametrize(
    "policy",
    [
        BreakerPolicy(),
        BreakerPolicy(slow_call_seconds=3, ignored_errors=("KeyError",), minimum_calls=7),
        BreakerPolicy(counted_errors=("OSError",), throttling_counts=True, longest_recovery_seconds=300),
    ],
)
def test_a_policy_goes_through_json(policy: BreakerPolicy) -> None:
    """So that a construct can hand it to a function in an environment variable."""
    assert BreakerPolicy.from_settings(json.loads(json.dumps(policy.to_settings()))) == policy


def test_what_is_as_by_default_takes_no_room() -> None:
    """A function's variables share 4 KB."""
    assert BreakerPolicy().to_settings() == {}
    assert BreakerPolicy(probes=2).to_settings() == {"probes": 2}


def test_a_policy_of_another_version_is_told_by_name() -> None:
    """Not by a TypeError about arguments."""
    with pytest.raises(ValueError, match="BreakerPolicy: unknown patience; deploy the function again"):
        BreakerPolicy.from_settings({"patience": 3})


def test_a_call_within_a_call_that_had_no_turn_says_nothing_of_the_outer_one() -> None:
    """Our own pace refused it; not even a policy that counts 429s may count that."""
    counts = counts_by(BreakerPolicy(throttling_counts=True))
    assert not counts(NoTurn("Courier", 30))
    assert counts(SlowDown())
