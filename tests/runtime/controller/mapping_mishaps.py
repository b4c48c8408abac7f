"""All that can go wrong between a circuit's change and the mappings that should follow it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mapping_world import Crash, World
from resilient_runtime.controller import Feed, FeedSettings, feed_of_all

__all__ = ["FEEDS", "NAMES", "PERIOD", "Mishaps"]

FEEDS = (
    FeedSettings("queue", ("Courier",), "50"),
    FeedSettings("both", ("Courier", "Database"), "3"),
    FeedSettings("stream", ("Database",), "", "1"),
)
NAMES = ("Courier", "Database")
PERIOD = 120


class Mishaps(RuleBasedStateMachine):
    """Events that are lost, late, doubled and out of order; a controller that dies; an AWS that is busy.

    :ivar stream: records of changes that nobody has had yet, or that may come again
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.stream: list[dict[str, Any]] = []

    def make_world(self) -> World:
        """The world that it happens in."""
        return World(feeds=FEEDS, names=NAMES)

    @rule(data=st.data(), keep=st.booleans())
    def an_event_comes(self, data: st.DataObject, keep: bool) -> None:
        """In any order, and, where it is kept, a second time."""
        if self.stream:
            index = data.draw(st.integers(0, len(self.stream) - 1))
            record = self.stream[index] if keep else self.stream.pop(index)
            with suppress(Crash):
                self.world.controller.on_stream([record], self.world.left)

    @rule(data=st.data())
    def an_event_is_lost(self, data: st.DataObject) -> None:
        """The stream gave it up."""
        if self.stream:
            self.stream.pop(data.draw(st.integers(0, len(self.stream) - 1)))

    @rule(twice=st.booleans())
    def messages_come(self, twice: bool) -> None:
        """Those that are due; or each of them twice."""
        for wake in self.world.due_wakes():
            for _ in range(1 + twice):
                with suppress(Crash):
                    self.world.controller.on_wake(wake, self.world.left)

    @rule()
    def messages_are_lost(self) -> None:
        """All of them."""
        self.world.wakes.clear()

    @rule(seconds=st.sampled_from([0, 3, 45]))
    def mappings_take_their_time(self, seconds: float) -> None:
        """As they do on AWS."""
        self.world.slow = seconds

    @rule(calls=st.integers(1, 6))
    def lambda_is_busy(self, calls: int) -> None:
        """Its next calls are refused."""
        self.world.busy = calls

    @rule(calls=st.integers(0, 10))
    def the_controller_will_die(self, calls: int) -> None:
        """After so many calls more."""
        self.world.crash_after = calls

    @rule(mapping=st.sampled_from([feed.mapping for feed in FEEDS]), enabled=st.booleans())
    def somebody_changes_a_mapping(self, mapping: str, enabled: bool) -> None:
        """By hand, or by a deployment."""
        if self.world.look(mapping).state in ("Enabled", "Disabled"):
            self.world.crash_after, self.world.busy = None, 0
            self.world.update(mapping, enabled=enabled, concurrency=None, retries=None)

    @rule()
    def the_reconciler_runs(self) -> None:
        """It may die, too."""
        with suppress(Crash):
            self.world.controller.on_schedule(self.world.left)

    @invariant()
    def a_trickle_is_two_at_most(self) -> None:
        """No mapping ever gets more than was configured, nor a concurrency that Lambda refuses."""
        for feed in FEEDS:
            concurrency = self.world.look(feed.mapping).concurrency
            if feed.concurrency:
                assert concurrency is not None
                assert 2 <= concurrency <= int(feed.concurrency)
            else:
                assert concurrency is None

    @rule()
    def all_is_quiet_for_a_while(self) -> None:
        """Two runs of the reconciler, all events but one lost: each mapping is what its circuits say."""
        world = self.world
        world.crash_after, world.busy = None, 0
        self.stream.clear()
        until = world.now + 2 * PERIOD
        following = world.now
        while world.now < until:
            if world.now >= following:
                world.controller.on_schedule(world.left)
                following += PERIOD
            for wake in world.due_wakes():
                world.controller.on_wake(wake, world.left)
            world.now += 1
            world.remaining = 30
        self.check()
        assert len(world.wakes) <= len(NAMES) * 12

    def check(self) -> None:
        """Each mapping is what its circuits say, or on its way."""
        world = self.world
        for feed in FEEDS:
            circuits = [world.circuit(name) for name in feed.downstreams]
            # What became due within the time that mapping takes is still on its way.
            due = {feed_of_all(circuits, at) for at in (world.now, world.now - 2 * world.slow - 40)}
            state, concurrency, retries = world.look(feed.mapping)
            found = Feed.PAUSED if state == "Disabled" else Feed.FULL
            if found is Feed.FULL and feed.concurrency and str(concurrency) != feed.concurrency:
                found = Feed.TRICKLE
            if found is Feed.FULL and feed.retries and str(retries) != feed.retries:
                found = Feed.TRICKLE
            assert found in due or state not in ("Enabled", "Disabled"), (feed, state, concurrency, due)
