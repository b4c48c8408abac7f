"""The environment contract: what the construct writes is what the entry point reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.breaker import BreakerPolicy
from resilient_runtime.settings import DownstreamSettings, Settings

_breakers = st.none() | st.builds(
    BreakerPolicy,
    minimum_calls=st.integers(1, 100),
    recovery_seconds=st.floats(1, 60),
    ignored_errors=st.lists(st.text(min_size=1), max_size=2).map(tuple),
    throttling_counts=st.booleans(),
).map(BreakerPolicy.to_settings)
_downstreams = st.builds(
    DownstreamSettings,
    name=st.text(min_size=1),
    requests_per_second=st.none() | st.floats(0.1, 1000),
    burst=st.none() | st.floats(1, 1000),
    max_concurrency=st.none() | st.integers(1, 1000),
    breaker=_breakers,
)


@given(
    downstreams=st.lists(_downstreams, max_size=3).map(tuple),
    table=st.none() | st.text(min_size=1),
    receives=st.none() | st.integers(1, 1000),
)
def test_settings_go_through_the_environment_unchanged(
    downstreams: tuple[DownstreamSettings, ...], table: str | None, receives: int | None
) -> None:
    """Breakers and the table of their circuits among them, and how often a message is received."""
    settings = Settings(
        handler="app.deliver", downstreams=downstreams, circuits_table=table, max_receive_count=receives
    )

    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    ("breaker", "text"),
    [
        (None, '[{"name":"Courier"}]'),
        ({}, '[{"name":"Courier","breaker":{}}]'),
        ({"probes": 2}, '[{"name":"Courier","breaker":{"probes":2}}]'),
    ],
)
def test_no_breaker_is_not_the_default_breaker(breaker: Any, text: str) -> None:
    """None has none, an empty one has the default policy."""
    downstream = DownstreamSettings(name="Courier", breaker=breaker)
    variables = Settings(handler="app.deliver", downstreams=(downstream,)).to_env()

    assert variables["RESILIENT_DOWNSTREAMS"] == text
    assert Settings.from_env(variables).downstreams == (downstream,)


def test_the_tables_name_stands_alone_in_its_variable() -> None:
    """A name that only CloudFormation knows cannot stand inside JSON."""
    variables = Settings(handler="app.deliver", circuits_table="circuits").to_env()

    assert variables["RESILIENT_CIRCUITS_TABLE"] == "circuits"
    assert "RESILIENT_CIRCUITS_TABLE" not in Settings(handler="app.deliver").to_env()
