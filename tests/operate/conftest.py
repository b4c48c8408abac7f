"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws
from poison_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty account."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr("resilient_constructs.operate.poison._WAIT_SECONDS", 0)
    with mock_aws():
        yield World(monkeypatch)
