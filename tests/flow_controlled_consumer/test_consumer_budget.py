"""A consumer counts against the connections of what it calls."""

from __future__ import annotations

import pytest
from aws_cdk import App, Stack
from consumer_parts import make_function

from resilient_constructs import Downstream, FlowControlledConsumer


def test_consumers_of_every_stack_add_up() -> None:
    """Two consumers in two stacks exceed the connections together, and synth names both."""
    app = App()
    shared = Downstream(Stack(app, "Shared"), "Database", connections=10)
    for name, concurrency in (("Shop", 6), ("Back", 5)):
        stack = Stack(app, name)
        FlowControlledConsumer(
            stack,
            "Delivery",
            function=make_function(stack),
            downstream=shared,
            max_concurrency=concurrency,
        )
    assert shared.registered_concurrency == 11
    with pytest.raises(Exception, match="adds up to 11; allowed: at most 10 connections") as error:
        app.synth()
    assert "Shop/Delivery (6)" in str(error.value)
    assert "Back/Delivery (5)" in str(error.value)
