from __future__ import annotations

import random
from bisect import bisect_right
from itertools import pairwise

import pytest
from pace_world import COURIER, World
from resilient_runtime import Call, SlowDown
from resilient_runtime.pacing import Pace, PacePolicy
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import Asked, NoTurn


def test_an_environment_takes_its_share_of_the_rate() -> None:
    """Of ten calls a second for sixty environments, each makes one in six seconds."""
    world = World()
    world.call()
    assert [world.call() for _ in range(3)] == pytest.approx([6.0, 6.0, 6.0])


def test_a_slow_call_earns_the_turns_it_missed_up_to_the_credit() -> None:
    """After a minute inside a call three may follow at once, and the fourth waits again."""
    world = World()
    world.call(seconds=60)
    assert [world.call() for _ in range(4)] == pytest.approx([0, 0, 0, 6])


def test_idle_time_earns_one_turn_only() -> None:
    """Who had nothing to do has nothing to catch up on."""
    world = World()
    world.call()
    world.now += 50
    assert [world.call(), world.call()] == pytest.approx([0, 6])


def test_a_credit_that_is_not_used_is_forgotten() -> None:
    """What a slow call earned does not become a burst after an idle minute."""
    world = World()
    world.call(seconds=60)
    world.now += 30
    assert [world.call(), world.call()] == pytest.approx([0, 6])


def test_a_fleet_that_wakes_up_does_not_call_all_at_once() -> None:
    """Sixty new environments that get work in one moment stay near the burst, then near the rate."""
    dice = random.Random(7)
    moments = sorted(
        Pace(rate=1 / 6, burst=1 / 6, policy=PacePolicy(), random=dice.random, now=0.0).wait(0.0)
        for _ in range(6_000)
    )
    by_then = [bisect_right(moments, second) / 100 for second in range(7)]
    assert by_then[0] == pytest.approx(10, abs=1)
    assert [later - sooner for sooner, later in pairwise(by_then)] == pytest.approx([50 / 6] * 6, abs=1)


def test_an_environment_that_was_idle_for_long_is_as_good_as_new() -> None:
    """After ten intervals without a call its first turn is a matter of luck again, at full pace."""
    world = World(luck=0.5)
    for _ in range(4):
        world.call(error=SlowDown())
    assert world.pacer.share_of("Courier") < 0.5
    world.now += 1_000
    assert world.call() == pytest.approx(3.0)
    assert world.pacer.share_of("Courier") == 1.0


def test_a_single_429_costs_the_credit_and_not_the_pace() -> None:
    """One refused call after ten good ones is bad luck: environments know nothing of each other."""
    world = World()
    world.call(seconds=60)
    world.call(error=SlowDown())
    assert world.pacer.share_of("Courier") == 1.0
    assert world.call() == pytest.approx(6)


def test_further_429s_slow_down_multiplicatively_and_good_calls_speed_up_additively() -> None:
    """Each refusal multiplies the pace, down to its floor; each call that is taken adds the same step."""
    world = World(PacePolicy(back_off=0.5, slowest=0.1, recovery=0.25, longest_wait=1e9))
    shares = []
    for error in [SlowDown()] * 6 + [None] * 5:
        world.call(error=error, left=1e9)
        shares.append(world.pacer.share_of("Courier"))
    assert shares == pytest.approx([1, 0.5, 0.25, 0.125, 0.1, 0.1, 0.35, 0.6, 0.85, 1, 1])


def test_other_failures_do_not_slow_down() -> None:
    """A call that failed was taken: pacing is about the rate, the breaker about health."""
    world = World()
    for _ in range(5):
        world.call(error=ConnectionError())
    assert world.pacer.share_of("Courier") == 1.0


def test_nothing_is_called_before_retry_after() -> None:
    """What the server asked to wait is waited, and a part of an interval more, so that not all come then."""
    world = World(luck=0.5)
    world.call(error=SlowDown(retry_after=12))
    assert world.call() == pytest.approx(12 + 3)
    assert world.call() == pytest.approx(6)


def test_a_retry_after_of_a_day_is_not_believed() -> None:
    """One wrong header stops an environment for a quarter of an hour, not for a day."""
    world = World(PacePolicy(longest_wait=1e9))
    world.call(error=SlowDown(retry_after=86_400))
    assert world.call(left=1e9) == pytest.approx(900)


def test_a_turn_beyond_the_longest_wait_gives_the_message_back() -> None:
    """The environment waits as long as it may, or it would be handed one message after the other."""
    world = World()
    world.call(error=SlowDown(retry_after=100))
    with pytest.raises(NoTurn, match=r"Courier was not called: its next turn is in 80\.0 s") as raised:
        world.call()
    assert raised.value.retry_after == pytest.approx(80)
    assert world.slept[-1] == 20


def test_a_turn_that_comes_seldom_is_waited_for() -> None:
    """A message that went back at every look would have no receives left when its turn comes at last."""
    world = World()
    seldom = DownstreamSettings(name="Bank", requests_per_second=0.1, burst=9, max_concurrency=9)
    waits = [world.call(downstream=seldom, left=600) for _ in range(3)]
    assert waits == pytest.approx([0, 90, 90])


def test_who_is_waited_for_does_not_wait_for_a_turn_that_comes_seldom() -> None:
    """In mode event somebody may wait for the answer, and no receives are spent."""
    world = World()
    seldom = DownstreamSettings(name="Bank", requests_per_second=0.1, burst=9, max_concurrency=9)
    world.call(downstream=seldom, left=600, message_id=None)
    with pytest.raises(NoTurn):
        world.call(downstream=seldom, left=600, message_id=None)


def test_the_wait_leaves_time_for_the_call_itself() -> None:
    """A turn that comes when a call like the last ones would no longer fit is not waited for."""
    world = World()
    world.call(seconds=5)
    assert world.call(left=10) == pytest.approx(1)
    world.call()
    with pytest.raises(NoTurn):
        world.call(left=10)


def test_who_is_waited_for_gives_up_at_once() -> None:
    """In mode event there is no queue to give anything back to, and somebody may wait for the answer."""
    world = World()
    world.call(error=SlowDown(retry_after=100))
    before = world.now
    with pytest.raises(NoTurn):
        world.call(message_id=None)
    assert world.now == before


@pytest.mark.parametrize(
    "downstream",
    [
        DownstreamSettings(name="A", max_concurrency=60),
        DownstreamSettings(name="A", requests_per_second=0.1),
    ],
)
def test_without_a_rate_or_a_number_of_callers_nothing_is_paced(downstream: DownstreamSettings) -> None:
    """What cannot be shared out is left alone."""
    world = World()
    assert [world.call(downstream=downstream) for _ in range(50)] == [0] * 50


def test_each_downstream_has_a_pace_of_its_own() -> None:
    """A bank's turn does not wait for the courier's."""
    world = World()
    bank = DownstreamSettings(name="Bank", requests_per_second=60, max_concurrency=60)
    world.call()
    assert [world.call(downstream=bank), world.call(downstream=bank)] == pytest.approx([0, 1])


def test_a_429_that_is_raised_after_the_call_still_counts() -> None:
    """``raise_for_status()`` behind the block slows down as inside it, and inside it only once."""
    world = World(PacePolicy(back_off=0.5))
    call = Call(boundary=world.pacer, clock=world.pacer._clock, downstreams={"Courier": COURIER})
    for _ in range(2):
        with call.downstream("Courier"):
            pass
        world.pacer.heed(call, Asked(None))
    assert world.pacer.share_of("Courier") == 0.5
    with pytest.raises(SlowDown), call.downstream("Courier"):
        raise SlowDown
    world.pacer.heed(call, Asked(None))
    assert world.pacer.share_of("Courier") == 0.25


def test_leaving_never_raises() -> None:
    """An exception that breaks whoever looks at it says nothing about the pace."""

    class HostileError(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError

    world = World()
    world.call(error=HostileError())
    assert world.pacer.share_of("Courier") == 1.0


@pytest.mark.parametrize("wrong", [{"credit": 0.5}, {"back_off": 0}, {"slowest": 2}, {"longest_wait": -1}])
def test_a_policy_names_what_is_wrong_with_it(wrong: dict[str, float]) -> None:
    """Each number out of its range is told with the range."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"PacePolicy: {name} is .*; allowed"):
        PacePolicy(**wrong)
