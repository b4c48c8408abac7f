"""What every test may ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from aws_cdk import App, Stack

# The CDK's own validator costs two seconds and 300 MB per process; one run with it is kept elsewhere.
os.environ.setdefault("CDK_VALIDATION", "false")

# How long an example takes says how busy the machine is, not what the code does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker gets all tests of a file that deploys: what they look at is deployed and happens once."""
    for item in items:
        if item.get_closest_marker("local") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture
def app() -> App:
    """An empty app."""
    from aws_cdk import App

    return App()


@pytest.fixture
def stack(app: App) -> Stack:
    """An empty stack, bound to no account or region."""
    from aws_cdk import Stack

    return Stack(app, "Stack")
