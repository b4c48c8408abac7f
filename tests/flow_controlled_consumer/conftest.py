"""What the tests of a consumer may ask for."""

from __future__ import annotations

import pytest
from aws_cdk import App, Stack

from resilient_constructs import Handler


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """A handler for messages."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "delivery.py").write_text("def deliver(order, call): ...\n")
    return Handler.from_directory(code, "delivery.deliver")


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")
