"""When the handler is interrupted, and when it must not be: with a clock and signals of the test's own."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pretended_watch import World, in_handler
from resilient_runtime.deadline import Deadline, margin_for
from resilient_runtime.interruption import (
    DeadlineExceeded,
    InvocationTimedOut,
    exceeded_in,
    timed_out,
)


@pytest.mark.parametrize(
    ("seconds", "margin"),
    [(1, 0.2), (2, 0.2), (3, 0.3), (9, 0.9), (10, 1.0), (30, 1.0), (900, 1.0)],
)
def test_the_margin_is_a_tenth_between_200_ms_and_a_second(seconds: float, margin: float) -> None:
    """By default the handler is interrupted a tenth of the timeout before it, at least 0.2 s, at most 1 s."""
    assert margin_for(seconds) == pytest.approx(margin)
    assert margin_for(seconds, 0) == pytest.approx(margin)


@given(seconds=st.floats(0.001, 900), setting=st.none() | st.floats(0, 900))
def test_the_handler_has_some_time_and_lambda_never_ends_it_first(
    seconds: float, setting: float | None
) -> None:
    """Whatever the margin and the time left, the deadline lies after the beginning and before the timeout."""
    world = World(setting)
    world.begin(seconds)
    watched = world.watchdog.current
    if round(seconds * 1000) == 0 or setting == 0:
        assert watched is None
    else:
        assert watched is not None
        assert world.now < watched.due < world.now + round(seconds * 1000) / 1000
        assert watched.due - world.now < (world.signals.dump or 0) < round(seconds * 1000) / 1000


def test_the_handler_is_interrupted_at_its_deadline() -> None:
    """The handler is interrupted its margin before the timeout, with an error that says where it was."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.move(8.9)
    assert not world.firings
    world.move(0.11)
    assert world.deadline.passed
    with pytest.raises(DeadlineExceeded, match=r"interrupted after 9\.01 s, 0\.99 s before Lambda's timeout"):
        world.signal(in_handler())
    assert [one.times for one in world.firings] == [1]
    assert world.firings[0].ran == pytest.approx(9.01)
    assert world.firings[0].left == pytest.approx(0.99)
    assert world.firings[0].cannot_interrupt is None


def test_a_handler_that_has_returned_is_not_interrupted() -> None:
    """An interruption that comes after the handler returned changes nothing, then or in the next one."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    assert world.signals.sent == 1
    world.deadline.leave()
    world.signal(in_handler())
    world.signals.sent = 1
    world.deadline.disarm()
    world.begin(10)
    world.deadline.enter()
    world.signal(in_handler())
    assert not world.deadline.passed


def test_our_own_steps_around_the_handler_are_not_interrupted() -> None:
    """While the innermost frame is ours the interruption waits, and comes once the handler's code runs."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    world.signal(sys._getframe())
    world.move(0.005)
    with pytest.raises(DeadlineExceeded):
        world.signal(in_handler())
    assert len(world.firings) == 1


def test_a_swallowed_interruption_comes_again() -> None:
    """A handler that goes on is interrupted again when half of what was left is gone, three times in all."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    at = []
    while world.now < 1010:
        world.move(0.005)
        if world.signals.sent:
            at.append(round(world.now - 1000, 2))
            with pytest.raises(DeadlineExceeded):
                world.signal(in_handler())
    assert at == pytest.approx([9.0, 9.5, 9.75], abs=0.02)
    assert [one.times for one in world.firings] == [1, 2, 3]


def test_a_handler_does_not_begin_after_the_deadline() -> None:
    """User code that would begin after the deadline is refused."""
    world = World()
    world.begin(10)
    world.move(9.5)
    assert not world.firings, "between two records there is nothing to tell"
    with pytest.raises(DeadlineExceeded, match="before the handler began"):
        world.deadline.enter()


def test_own_code_that_hangs_is_told() -> None:
    """When half of the margin has gone in the runtime's own code, that is told and nothing is interrupted."""
    world = World()
    world.begin(10)
    world.move(9.1)
    world.move(0.5)
    assert [one.cannot_interrupt for one in world.firings] == ["it is not in the handler's code"]
    assert world.signals.sent == 0


def test_nothing_of_one_invocation_reaches_the_next() -> None:
    """After an invocation no timer runs, and the next one has a deadline of its own."""
    world = World()
    world.begin(3)
    assert world.signals.dump == pytest.approx(2.85)
    world.deadline.disarm()
    assert world.signals.dump is None
    assert world.watchdog.current is None
    world.begin(20)
    world.deadline.enter()
    world.move(18.9)
    assert not world.deadline.passed


def test_an_inner_invocation_leaves_the_outer_ones_deadline_alone() -> None:
    """A handler that calls another wrapped handler keeps its own deadline."""
    world = World()
    inner = Deadline(setting=None, on_fire=world.firings.append, watchdog=world.watchdog)
    world.begin(10)
    world.deadline.enter()
    inner.arm(lambda: 2000)
    inner.enter()
    world.move(5)
    inner.leave()
    inner.disarm()
    assert not world.firings
    world.move(4.5)
    with pytest.raises(DeadlineExceeded):
        world.signal(in_handler())


def test_what_cannot_be_interrupted_is_told_once() -> None:
    """Where SIGALRM is somebody else's, that is told once, and each deadline is told all the same."""
    world = World(refuse="SIGALRM has a handler already, theirs.handler")
    for _ in range(2):
        world.begin(10)
        world.deadline.enter()
        world.move(9.5)
        assert world.deadline.passed
        world.deadline.leave()
        world.deadline.disarm()
    assert world.told == ["SIGALRM has a handler already, theirs.handler"]
    assert [one.cannot_interrupt for one in world.firings] == world.told * 2
    assert world.signals.sent == 0


def test_a_borrowed_signal_gets_no_interruption() -> None:
    """When the handler has taken SIGALRM for itself meanwhile, the deadline is told and sends it nothing."""
    world = World()
    world.begin(10)
    world.deadline.enter()
    world.signals.mine = False
    world.move(9.5)
    assert len(world.firings) == 1
    assert world.signals.sent == 0


def test_a_deadline_of_zero_interrupts_nothing() -> None:
    """With the setting 0 nothing is watched, and the time left is still told."""
    world = World(0)
    world.begin(10)
    world.deadline.enter()
    world.move(9.9)
    assert world.deadline.left() == pytest.approx(0.1)
    assert not world.deadline.passed
    assert not world.firings


def _raising() -> int:
    raise RuntimeError


@pytest.mark.parametrize(
    "remaining", [None, lambda: None, lambda: "3000", lambda: 0, lambda: -5, lambda: float("nan"), _raising]
)
def test_a_context_that_does_not_tell_the_time_is_not_guarded(remaining: Any) -> None:
    """A unit test's context, whatever it answers, has its handler left alone."""
    world = World()
    world.deadline.arm(remaining)
    world.deadline.enter()
    world.move(1e6)
    world.deadline.leave()
    world.deadline.disarm()
    assert not world.firings
    assert world.watchdog.current is None


def test_an_error_while_telling_does_not_save_the_handler() -> None:
    """When the record cannot be written, the handler is interrupted all the same."""
    world = World()
    world.deadline.on_fire = lambda firing: _raising()
    world.begin(10)
    world.deadline.enter()
    world.move(9.5)
    with pytest.raises(DeadlineExceeded):
        world.signal(in_handler())


def test_the_deadline_is_found_in_a_group() -> None:
    """The interruption is recognized inside the group that asyncio.TaskGroup makes of it."""
    inner = DeadlineExceeded("late")
    group = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [inner])])
    assert exceeded_in(group) is inner
    assert exceeded_in(KeyboardInterrupt()) is None
    assert exceeded_in(ExceptionGroup("", [ValueError()])) is None


def test_what_leaves_to_lambda_is_an_exception_with_the_handlers_stack() -> None:
    """Lambda gets an ordinary exception with the same words, and the frames of the handler."""
    try:
        in_handler_raising()
    except DeadlineExceeded as error:
        found = timed_out(error)
    assert isinstance(found, InvocationTimedOut)
    assert isinstance(found, Exception)
    assert str(found) == "late"
    trace = found.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_code.co_name == "in_handler_raising"


def in_handler_raising() -> None:
    """A handler that is interrupted."""
    raise DeadlineExceeded("late")


class _Invocations(RuleBasedStateMachine):
    """Any order of beginnings, ends, time and signals."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        self.inside = False
        self.running = False
        self.raised = 0

    @precondition(lambda self: not self.running)
    @rule(seconds=st.floats(0.4, 30))
    def begin(self, seconds: float) -> None:
        self.world.begin(seconds)
        self.world.firings.clear()
        self.running, self.raised = True, 0

    @precondition(lambda self: self.running)
    @rule()
    def end(self) -> None:
        self.world.deadline.leave()
        self.world.deadline.disarm()
        self.running = self.inside = False

    @precondition(lambda self: self.running and not self.inside)
    @rule()
    def enter(self) -> None:
        try:
            self.world.deadline.enter()
        except DeadlineExceeded:
            assert self.world.deadline.passed
        else:
            self.inside = True

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self) -> None:
        self.world.deadline.leave()
        self.inside = False

    @rule(seconds=st.floats(0, 3))
    def move(self, seconds: float) -> None:
        self.world.move(seconds)

    @rule()
    def signal(self) -> None:
        try:
            self.world.signal(in_handler())
        except DeadlineExceeded:
            self.raised += 1
            assert self.inside, "raised where it must not be"
            assert self.world.deadline.passed

    @rule()
    def foreign_signal(self) -> None:
        """Somebody else sends SIGALRM; before the deadline that must not matter."""
        passed = self.world.deadline.passed
        try:
            self.world.watchdog.on_signal(14, in_handler())
        except DeadlineExceeded:
            self.raised += 1
            assert self.inside
            assert passed

    @invariant()
    def bounded(self) -> None:
        assert len(self.world.firings) <= 3
        assert self.raised <= 3
        assert self.running or self.world.signals.dump is None
        assert self.running or not self.world.deadline.passed


TestInvocations = _Invocations.TestCase
TestInvocations.__doc__ = (
    "Nothing is raised outside of the handler's code or before its deadline, in any order of events."
)
