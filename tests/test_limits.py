"""Limits, faults and tokens: how every room reports what is wrong."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.limits import Faults, Limit
from resilient_constructs.tokens import is_token, seconds

PAGE = "https://docs.aws.amazon.com/page"
CONCURRENCY = Limit(prop="max_concurrency", low=2, high=1000, unit="invocations", page=PAGE)
RATE = Limit(prop="rate", low=0.1, high=None, unit="requests per second", page=PAGE, whole=False)
NUMBER_TOKEN = -1.8881545897087626e289


@given(st.integers(min_value=2, max_value=1000))
def test_every_value_in_range_is_allowed(value: int) -> None:
    """A value within the range passes."""
    assert CONCURRENCY.allows(value)


@given(st.one_of(st.integers(max_value=1), st.integers(min_value=1001)))
def test_every_value_out_of_range_is_refused(value: int) -> None:
    """A value outside the range is refused, however far outside."""
    assert not CONCURRENCY.allows(value)


@pytest.mark.parametrize("value", ["ten", None, True, math.nan, math.inf, -math.inf, 2.5, [3]])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    """Text, booleans, fractions, NaN and infinities are no counts."""
    assert not CONCURRENCY.allows(value)


def test_a_fraction_passes_where_fractions_make_sense() -> None:
    """A rate of 2.5 a second is legal."""
    assert RATE.allows(2.5)
    assert not RATE.allows(0.05)


@pytest.mark.parametrize("token", [NUMBER_TOKEN, "${Token[TOKEN.42]}"])
def test_a_token_passes_every_limit(token: object) -> None:
    """What CloudFormation fills in later cannot be judged at synth, so it passes."""
    assert is_token(token)
    assert CONCURRENCY.allows(token)


def test_a_fault_names_owner_property_value_range_and_page() -> None:
    """The error says who, which property, what it was, what it may be, and where that is written."""
    faults = Faults("FlowControlledConsumer 'Delivery'")
    faults.check(CONCURRENCY, 1)
    with pytest.raises(ValueError, match="max_concurrency") as error:
        faults.raise_any()
    assert str(error.value) == (
        "FlowControlledConsumer 'Delivery': max_concurrency is 1; "
        f"allowed: whole numbers, 2 to 1,000 invocations ({PAGE})"
    )


def test_all_faults_come_in_one_error() -> None:
    """Two things wrong with one construct are told at once, a line each."""
    faults = Faults("FlowControlledConsumer 'Delivery'")
    faults.check(CONCURRENCY, 1001)
    faults.check(RATE, 0)
    with pytest.raises(ValueError, match="has 2 faults") as error:
        faults.raise_any()
    assert str(error.value).count("\n  - ") == 2


def test_what_was_not_given_is_no_fault() -> None:
    """None means that the default applies, so nothing is noted and nothing raised."""
    faults = Faults("FlowControlledConsumer 'Delivery'")
    faults.check(CONCURRENCY, None)
    faults.raise_any()
    assert faults.found == []


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (None, 10, "whole numbers, at most 10 calls"),
        (1, None, "whole numbers, at least 1 calls"),
        (None, None, "whole numbers, any"),
    ],
)
def test_an_open_range_is_told_in_words(low: float | None, high: float | None, words: str) -> None:
    """A range that is open on a side says so."""
    assert Limit(prop="calls", low=low, high=high, unit="calls", page=PAGE).allowed == words


def test_a_number_where_a_duration_is_wanted_is_told() -> None:
    """timeout=3 says neither seconds nor minutes."""
    with pytest.raises(TypeError, match=r"3 is no Duration; say Duration\.seconds\(3\)"):
        seconds(3, default=1)  # type: ignore[arg-type]  # the slip itself
