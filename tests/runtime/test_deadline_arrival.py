"""An interruption between the moment it is wanted and the one it arrives, with signals of the test's own."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import pairwise
from types import FrameType

import pytest
from pretended_watch import World, in_handler
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.watchdog import Watchdog


def test_an_interruption_that_has_not_arrived_is_not_disturbed() -> None:
    """A wait in C that begins anew at each signal is signalled twice, and then left alone for 0.15 s."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    at = []
    while world.now < 1009.8:
        world.move(0.005)
        if world.signals.sent:
            at.append(world.now - 1009)
            world.signals.sent = 0
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps[0] < 0.02
    assert all(0.15 <= gap < 0.17 for gap in gaps[1:])
    assert len(world.firings) == 1, "it has been interrupted once, and that is on its way"


def test_a_late_arrival_gets_its_time_to_clean_up() -> None:
    """The second interruption comes when half of what was left at the arrival of the first is gone."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.move(9.0)
    while world.now < 1009.5:
        world.move(0.005)
    with pytest.raises(DeadlineExceeded):
        world.signal(in_handler())
    while len(world.firings) < 2:
        world.move(0.005)
    assert world.now == pytest.approx(1009.75, abs=0.02)


def test_a_signal_in_the_midst_of_another_is_judged_by_what_both_interrupted() -> None:
    """While our own steps around the handler are being looked at, a second signal interrupts them neither."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    first = Watchdog(signals=world.signals, ticks=lambda: 0.0)  # type: ignore[arg-type]
    first.current = SignalledAgain(world)
    first.on_signal(14, sys._getframe())
    world.move(0.005)
    with pytest.raises(DeadlineExceeded):
        world.signal(in_handler())


class SignalledAgain:
    """An invocation that gets a second signal while the first one is handled."""

    thread = 0
    due = 1.0

    def __init__(self, world: World) -> None:
        self.world = world

    def look(self) -> float:
        """Not called."""
        raise AssertionError

    def interruption(self, frame: FrameType | None) -> BaseException | None:
        """The second signal, which finds our handler of the first."""
        self.world.watchdog.on_signal(14, sys._getframe(1))
        return None


def test_a_handler_that_ends_while_it_is_looked_at_is_not_told() -> None:
    """No DEADLINE record is written of an invocation that has come to its end by itself meanwhile."""
    world = World()
    world.deadline.subject = world.deadline.leave
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    assert not world.firings
    assert world.signals.sent == 0


def test_what_is_told_is_what_the_handler_was_working_on() -> None:
    """A firing names its subject as it was when the handler was looked at, not when that is written."""
    world = World()
    subjects = ["first"]
    world.deadline.subject = subjects.pop
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    assert [one.subject for one in world.firings] == ["first"]


@pytest.mark.parametrize(("caught", "broke_off"), [(True, False), (False, True)])
def test_only_what_the_handler_did_not_catch_breaks_it_off(caught: bool, broke_off: bool) -> None:
    """An interruption that the handler turned into its answer has left nothing half done."""
    world = World()
    world.begin(10)
    with suppress(DeadlineExceeded):
        try:
            world.deadline.enter()
            world.move(9.5)
            try:
                world.signal(in_handler())
            except DeadlineExceeded:
                if not caught:
                    raise
        finally:
            world.deadline.leave()
    world.deadline.disarm()
    assert world.deadline.broke_off is broke_off
    world.begin(10)
    assert not world.deadline.broke_off
