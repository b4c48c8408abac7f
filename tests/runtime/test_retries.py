from __future__ import annotations

import random
import threading

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime import GaveUp, Retry, RetryBudget
from resilient_runtime.call import Call, active_call, outcome_of
from resilient_runtime.retries import decide, next_delay
from resilient_runtime.retry_signs import Sign
from retry_world import Answer, World, ending, refused

SECONDS = st.floats(0, 1000)
FAILED = Sign("failed")


@given(
    st.integers(1, 10_000),
    SECONDS,
    SECONDS,
    st.booleans(),
    st.none() | SECONDS,
    st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_between_what_the_server_asks_and_the_cap_above_it(
    attempt: int, first: float, cap: float, throttled: bool, asked: float | None, chance: float
) -> None:
    """Full jitter: any wait from nothing to the doubled, capped ceiling, after what the server asked for."""
    policy = Retry(first_wait=first, first_wait_throttled=first, longest_wait=cap)
    ceiling = min(cap, first * 2.0 ** min(attempt - 1, 64))
    wait = next_delay(attempt, policy, lambda: chance, throttled=throttled, retry_after=asked)
    assert wait == pytest.approx((asked or 0) + chance * ceiling)


def test_waits_are_spread_evenly() -> None:
    """Of many waits each tenth of the range gets its tenth: nobody comes back in step with the others."""
    chance, policy = random.Random(7).random, Retry(first_wait=1, longest_wait=8)
    waits = [next_delay(4, policy, chance) for _ in range(10_000)]
    tenths = [sum(int(wait / 0.8) == tenth for wait in waits) for tenth in range(10)]
    assert all(900 < count < 1100 for count in tenths), tenths


def test_a_throttled_call_waits_longer_than_a_failed_one() -> None:
    """429 asks to slow down, so its first wait may be ten times that after a failure."""
    policy = Retry()
    assert next_delay(1, policy, lambda: 1.0, throttled=True) == 1.0
    assert next_delay(1, policy, lambda: 1.0) == 0.1


def test_a_passing_failure_is_tried_again() -> None:
    """The caller sees the success alone."""
    world = World()
    function = ending(ConnectionResetError(), Answer(503), Answer(429), Answer(200))
    assert world.retry().call(function) == Answer(200)
    assert world.waits == [0.05, 0.1, 2.0]


def test_a_decorated_function_is_tried_again() -> None:
    """As a decorator the policy keeps arguments, result and name."""
    world, calls = World(), []

    @world.retry()
    def fetch(order: int, *, kind: str) -> str:
        calls.append((order, kind))
        if len(calls) < 2:
            raise ConnectionResetError
        return f"{kind} {order}"

    assert fetch(7, kind="parcel") == "parcel 7"
    assert (calls, fetch.__name__) == ([(7, "parcel")] * 2, "fetch")


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), GaveUp("x", attempts=3, seconds=1, why="", last=None, sign=FAILED)],
)
def test_what_would_end_the_same_is_raised_unchanged(error: Exception) -> None:
    """A bug is not retried, and retries inside retries do not multiply."""
    world = World()
    with pytest.raises(type(error)) as raised:
        world.retry().call(ending(error))
    assert raised.value is error
    assert world.waits == []


def test_the_users_own_exceptions_can_be_named() -> None:
    """A driver's exception is worth another attempt where the policy says so."""
    world = World()
    with pytest.raises(KeyError):
        world.retry().call(ending(KeyError(), "late"))
    assert world.retry(also=(KeyError,)).call(ending(KeyError(), "late")) == "late"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_invocation_is_no_failed_attempt(interruption: type[BaseException]) -> None:
    """A deadline's or the interpreter's exception passes at once."""
    world = World()
    with pytest.raises(interruption):
        world.retry().call(ending(interruption(), "late"))
    assert world.waits == []


def test_giving_up_keeps_the_last_cause() -> None:
    """The error says how often, how long and why, and carries the failure itself."""
    world, last = World(), ConnectionResetError("by peer")
    function = ending(last)
    with pytest.raises(GaveUp) as raised:
        world.retry(attempts=3).call(function)
    assert str(raised.value) == (
        "function: gave up after 3 attempts in 0.2 s: 3 attempts are allowed; "
        "last: ConnectionResetError: by peer"
    )
    assert raised.value.__cause__ is raised.value.last is last
    assert not raised.value.throttled


def test_an_answer_that_stays_bad_is_an_error() -> None:
    """A function that returns 429 to the end raises too, and the error says that the other side is well."""
    world = World()
    with pytest.raises(GaveUp, match="last: HTTP 429") as raised:
        world.retry().call(ending(Answer(429)))
    assert raised.value.throttled
    assert raised.value.last == Answer(429)


def test_retry_after_is_waited_for() -> None:
    """No call comes back before the time that the server named."""
    world = World()
    assert world.retry().call(ending(Answer(503, {"Retry-After": "3"}), "ok")) == "ok"
    assert world.waits == [3.05]


def test_a_retry_after_beyond_the_cap_is_given_up_at_once() -> None:
    """A call before the server's time would be refused, and waiting an hour is not for us."""
    world = World()
    with pytest.raises(GaveUp, match="asks to wait 3600 s, more than the 30 s allowed"):
        world.retry().call(ending(Answer(429, {"Retry-After": "3600"}), "ok"))
    assert world.waits == []


def test_a_wait_that_does_not_fit_is_not_begun() -> None:
    """With two seconds left nobody sleeps for three; what is left is for telling what went wrong."""
    world = World(left=2)
    with pytest.raises(GaveUp, match=r"next wait of 3.0 s does not fit into the 2.0 s that are left"):
        world.retry().call(ending(Answer(503, {"Retry-After": "3"}), "ok"))
    assert world.now == 0


def test_the_invocations_deadline_is_known() -> None:
    """Without being told, a policy keeps to the time of the call in progress, less half a second."""
    world = World()
    policy = world.retry(left=Retry().left)
    token = active_call.set(Call(remaining=lambda: 1_500))
    try:
        with pytest.raises(GaveUp, match=r"into the 1.0 s that are left"):
            policy.call(ending(Answer(503, {"Retry-After": "1"})))
    finally:
        active_call.reset(token)


def test_the_end_of_a_downstream_call_is_known() -> None:
    """Within a downstream call there is no more time than its timeout, even if the invocation has more."""
    world = World()
    policy = world.retry(left=Retry().left)
    call = Call(remaining=lambda: 60_000, clock=policy.clock)
    token = active_call.set(call)
    try:
        with call.downstream("Courier", timeout=2):
            world.now = 0.5
            with pytest.raises(GaveUp, match=r"does not fit into the 1.5 s that are left"):
                policy.call(ending(Answer(503, {"Retry-After": "2"})))
        assert policy.call(ending(Answer(503, {"Retry-After": "2"}), "ok")) == "ok"
    finally:
        active_call.reset(token)


def test_throttling_does_not_count_against_a_downstream() -> None:
    """A 429 is no failure of whoever was called, given up or not: the breaker must not open for it."""
    for answer, outcome in ((Answer(429), "throttled"), (Answer(503), "failed")):
        with pytest.raises(GaveUp) as raised:
            World().retry().call(ending(answer))
        assert outcome_of(raised.value) == outcome
        assert outcome_of(requests.HTTPError(response=answer)) == outcome  # type: ignore[arg-type]


@given(
    left=st.floats(0, 60),
    total=st.none() | st.floats(0, 60),
    takes=st.floats(0, 5),
    ends=st.lists(st.sampled_from(["fail", "busy", "asks"]), min_size=1, max_size=12),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_wait_ends_past_the_deadline(
    left: float, total: float | None, takes: float, ends: list[str], chance: float
) -> None:
    """Whatever fails and however long it takes, sleeping is over before the deadline and before the total."""
    world = World(left=left)
    answers: dict[str, object] = {
        "fail": ConnectionResetError(),
        "busy": Answer(429),
        "asks": Answer(503, {"Retry-After": "2"}),
    }
    slept_until: list[float] = []

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        slept_until.append(world.now)

    policy = world.retry(attempts=20, total=total, random=lambda: chance, sleep=sleep)
    with pytest.raises(GaveUp):
        policy.call(ending(*(answers[end] for end in ends), takes=takes, world=world))
    assert all(at <= left + 1e-9 for at in slept_until)
    assert total is None or all(at <= total + 1e-9 for at in slept_until)


def test_the_smaller_total_counts() -> None:
    """A downstream's timeout narrows a policy and never widens it."""
    assert Retry().within(5).total == 5
    assert Retry(total=3).within(5).total == 3
    assert Retry(total=7).within(5).total == 5


@given(
    capacity=st.integers(0, 30),
    per_success=st.floats(0, 1),
    fails=st.lists(st.booleans(), max_size=200),
)
def test_the_budget_is_never_exceeded(capacity: int, per_success: float, fails: list[bool]) -> None:
    """There are no more retries than the bucket held and the successes filled in, whatever the weather."""
    world, budget = World(), RetryBudget(capacity=capacity, per_success=per_success)
    policy = world.retry(budget=budget, attempts=3)
    successes = 0
    for fail in fails:
        try:
            policy.call(ending(Answer(503) if fail else Answer(200)))
        except GaveUp:
            continue
        successes += 1
        assert budget.tokens <= capacity
    assert len(world.waits) <= capacity + per_success * successes + 1e-9


def test_an_empty_budget_is_told() -> None:
    """In an outage a call is made once, and the error says why there was no second."""
    world = World()
    policy = world.retry(budget=RetryBudget(capacity=1))
    with pytest.raises(GaveUp, match=r"after 2 attempts .* retry budget is used up"):
        policy.call(ending(Answer(503)))
    assert len(world.waits) == 1


def test_a_policy_within_a_policy_multiplies_nothing() -> None:
    """Where an inner policy gave up the outer one does too, whatever it was told to try again."""
    world = World()
    attempts = []

    def deliver() -> None:
        attempts.append(world.now)
        raise refused()

    with pytest.raises(GaveUp) as raised:
        world.retry(also=(Exception,)).call(lambda: world.retry(attempts=3).call(deliver))
    assert raised.value.attempts == len(attempts) == 3


def test_policies_share_the_environments_budget() -> None:
    """A policy that is given no budget takes from the one that all others take from."""
    assert Retry().budget is Retry(attempts=9).budget


def test_threads_share_a_budget_without_losing_a_token() -> None:
    """Of a hundred tokens, eight threads get a hundred."""
    budget, taken = RetryBudget(capacity=100), []

    def take() -> None:
        taken.extend(1 for _ in range(50) if budget.take())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 100


def test_every_wrong_number_is_named_at_once() -> None:
    """A policy that makes no sense is refused with all its faults."""
    with pytest.raises(ValueError, match=r"attempts is 0; allowed: 1 or more; first_wait is -1"):
        Retry(attempts=0, first_wait=-1)
    with pytest.raises(ValueError, match="capacity is nan"):
        RetryBudget(capacity=float("nan"))


def test_the_decision_alone_can_be_asked() -> None:
    """What follows a failed attempt is a pure function of the attempt, the policy and the time left."""
    policy = Retry(attempts=3, random=lambda: 0.5)
    assert decide(FAILED, attempt=1, policy=policy, left=None) == 0.05
    assert decide(FAILED, attempt=3, policy=policy, left=None) == "3 attempts are allowed"
