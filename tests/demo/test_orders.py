"""What is going to be sent."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.demo.orders import Kind, Mix, plan, render
from resilient_constructs.demo.profile import Phase, Profile, ProfileError

PROFILE = Profile(
    phases=(Phase(duration=10, rate=30),),
    path="/orders",
    body={"order_id": "{{ $randomString(12) }}", "address": "{{ $randomNumber(1, 9) }} Quay", "parcels": 1},
)


def test_the_shares_are_exact() -> None:
    """Of 300 requests six are poison and three malformed, one of each kind."""
    kinds = Counter(request.kind for request in plan(PROFILE, seed=1, run="r"))
    assert kinds == {
        Kind.GOOD: 291,
        Kind.POISON: 6,
        Kind.INVALID_JSON: 1,
        Kind.SCHEMA_BREACH: 1,
        Kind.WRONG_TYPE: 1,
    }


@given(
    count=st.integers(min_value=1, max_value=40),
    poison=st.floats(min_value=0, max_value=0.5),
    malformed=st.floats(min_value=0, max_value=0.5),
)
def test_every_mix_fits_every_size(count: int, poison: float, malformed: float) -> None:
    """Whatever the shares and however small the run, each request has exactly one kind and its own ID."""
    profile = replace(PROFILE, phases=(Phase(duration=1, count=count),))
    planned = plan(profile, seed=0, run="r", mix=Mix(poison=poison, malformed=malformed))
    assert len(planned) == count
    assert len({request.correlation_id for request in planned}) == count


def test_each_kind_is_what_it_says() -> None:
    """Invalid JSON does not parse, a breach parses, a wrong type is not JSON's, poison goes nowhere."""
    for request in plan(PROFILE, seed=1, run="r"):
        if request.kind is Kind.INVALID_JSON:
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(request.body)
            continue
        body = json.loads(request.body)
        assert (request.content_type == "text/plain") == (request.kind is Kind.WRONG_TYPE)
        assert (body["address"] == "nowhere") == (request.kind is Kind.POISON)
        assert (body["parcels"] == 1) == (request.kind is not Kind.SCHEMA_BREACH)


def test_the_same_seed_plans_the_same_run() -> None:
    """A plan is a function of profile, seed and run."""
    assert plan(PROFILE, seed=5, run="r") == plan(PROFILE, seed=5, run="r")
    assert plan(PROFILE, seed=5, run="r") != plan(PROFILE, seed=6, run="r")


def test_templates_are_filled_everywhere() -> None:
    """Template functions stand in strings, alone, in lists and in nested objects."""
    filled = render(
        {"a": ["{{ $randomNumber(3, 3) }}"], "b": {"c": "no {{ $randomNumber(4,4) }}"}, "d": 1.5},
        random.Random(0),
    )
    assert filled == {"a": [3], "b": {"c": "no 4"}, "d": 1.5}


def test_an_unknown_template_is_named() -> None:
    """A template function that isn't supported is refused, not sent as it stands."""
    with pytest.raises(ProfileError, match="uuid"):
        render({"a": "{{ $uuid }}"}, random.Random(0))


@pytest.mark.parametrize(("poison", "malformed"), [(-0.1, 0), (0, -0.1), (0.7, 0.7)])
def test_impossible_shares_are_refused(poison: float, malformed: float) -> None:
    """Shares below zero, or that add up to more than all, are refused."""
    with pytest.raises(ValueError, match="shares"):
        Mix(poison=poison, malformed=malformed)
