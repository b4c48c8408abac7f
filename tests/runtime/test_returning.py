from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, App, batch_of, returned, sqs_record
from resilient_runtime import Call, Reject, SlowDown
from resilient_runtime.batch import Batch
from resilient_runtime.in_progress import InProgress
from resilient_runtime.lifecycle import NoGuard
from resilient_runtime.pacing import Pacer
from resilient_runtime.refusals import refuses_nothing
from resilient_runtime.returning import (
    ReturnPolicy,
    Returns,
    deserves_another_try,
    visibility_after,
)
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import Asked
from resilient_runtime.status import StatusLines, Teller
from resilient_runtime.stores.visibility import CouldNotDelay, QueueVisibility, url_of

POLICY = ReturnPolicy()


@pytest.mark.parametrize(
    ("attempt", "failures", "shortest", "longest"),
    [(1, 1, 2, 5), (7, 1, 2, 5), (7, 5, 4, 10), (1, 50, 2, 5), (4, 50, 16, 40), (9, 50, 360, 900)],
)
def test_the_wait_grows_with_attempts_while_everything_fails(
    attempt: int, failures: int, shortest: float, longest: float
) -> None:
    """An unlucky message returns soon, one in an outage ever later; the jitter is over the greater part."""
    waits = [visibility_after(attempt, POLICY, lambda end=end: end, failures=failures) for end in (0.0, 1.0)]
    assert waits == pytest.approx([shortest, longest])


def test_a_wait_that_the_downstream_asked_for_comes_first() -> None:
    """The jitter is added to Retry-After, as everybody was told the same."""
    assert visibility_after(1, POLICY, lambda: 0.5, retry_after=60) == pytest.approx(63.5)


def test_a_retry_after_of_a_day_is_not_believed() -> None:
    """One wrong header, or a clock that is wrong, hides a message for an hour, not for half a day."""
    assert visibility_after(1, POLICY, lambda: 0.0, retry_after=1_800_000_000) == pytest.approx(3_602)


def test_ten_receives_outlast_an_outage_of_ten_minutes() -> None:
    """With the worst luck a message is received the tenth time more than ten minutes after the first."""
    waits = [visibility_after(attempt, POLICY, lambda: 0.0) for attempt in range(1, 10)]
    assert sum(waits) > 600


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_every_wait_is_one_that_sqs_takes(
    attempt: int, failures: int, luck: float, retry_after: float | None
) -> None:
    """Neither many attempts nor a wild Retry-After exceed what is left of the twelve hours."""
    wait = visibility_after(attempt, POLICY, lambda: luck, retry_after, failures=failures)
    assert 0 <= wait <= 42_300


@pytest.mark.parametrize(
    "wrong",
    [{"first": -1}, {"least": 2}, {"growth": 0.5}, {"longest": 43_200}, {"second_try_from": 0}],
)
def test_a_policy_names_what_is_wrong_with_it(wrong: dict[str, float]) -> None:
    """Each number out of its range is told with the range."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"ReturnPolicy: {name} is .*; allowed"):
        ReturnPolicy(**wrong)  # type: ignore[arg-type]


class Told:
    """A queue in memory that is told when messages return."""

    needs = 1.0

    def __init__(self, *, broken: bool = False) -> None:
        self.delays: list[tuple[str, float]] = []
        self.broken = broken

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Keep them, or refuse."""
        if self.broken:
            raise ConnectionError("no route to SQS")
        self.delays += [(record["messageId"], round(seconds, 2)) for record, seconds in delays]


def batch(function: Any, told: Told, *, left: float = 60.0, pacer: Pacer | None = None) -> Batch:
    """A batch whose messages return in the middle of their jitter."""

    class Guard(NoGuard):
        def left(self) -> float:
            return left

    kept = App(function)
    returns = Returns(told, random=lambda: 0.5, heed=None if pacer is None else pacer.heed)
    downstream = DownstreamSettings(name="Courier", requests_per_second=10, max_concurrency=10)
    made = Batch(
        function,
        dead_letters=kept.dead_letters,
        lines=StatusLines(service="s", function_name="f"),
        tell=Teller(kept.emit),
        downstreams={"Courier": downstream},
        boundary=pacer or Pacer(sleep=lambda seconds: None),
        guard=Guard(),
        in_progress=InProgress(),
        refuses=refuses_nothing,
        returns=returns,
    )
    vars(made)["kept"] = kept
    return made


def fail(body: Any, call: Call) -> None:
    """A handler that does what the body says."""
    if body == "slow":
        raise SlowDown(retry_after=60)
    if body == "poison":
        raise Reject("never")
    if body == "fail":
        raise ConnectionError


def records(*bodies: str, **more: Any) -> dict[str, Any]:
    """A batch of messages named after what they do, numbered."""
    return batch_of(*(sqs_record(body, message_id=f"{body}-{n}", **more) for n, body in enumerate(bodies)))


def test_only_what_failed_is_told_when_to_come_back() -> None:
    """Completed and rejected messages are gone; the others return as their failure says."""
    told = Told()
    answer = batch(fail, told).run(records("ok", "fail", "poison", "slow"), None, None)
    assert returned(answer) == ["fail-1", "slow-3"]
    assert told.delays == [("fail-1", 3.5), ("slow-3", 63.5)]


def test_failures_in_a_row_lengthen_the_wait_and_a_success_shortens_it() -> None:
    """An environment in which nothing succeeds any more takes it for an outage."""
    told = Told()
    made = batch(fail, told)
    for _ in range(5):
        made.run(records("fail", receive_count=5), None, None)
    made.run(records("ok", "fail", receive_count=5), None, None)
    assert [seconds for _, seconds in told.delays] == [3.5, 3.5, 3.5, 3.5, 7.0, 3.5]


def test_the_rest_of_a_group_returns_with_the_message_that_failed() -> None:
    """In a FIFO queue the messages behind a failed one must not keep their group blocked any longer."""
    told = Told()
    batch(fail, told).run(records("fail", "ok", group="g", arn=FIFO), None, None)
    assert told.delays == [("fail-0", 3.5), ("ok-1", 3.5)]


def test_what_was_not_begun_returns_within_moments() -> None:
    """A message that nobody looked at has waited for nothing."""
    told = Told()

    class Passed(NoGuard):
        passed = True

    made = batch(fail, told)
    made._guard = Passed()
    made.run(records("ok", "ok"), None, None)
    assert told.delays == [("ok-0", 1.0), ("ok-1", 1.0)]


def test_a_queue_that_cannot_be_told_changes_nothing_else() -> None:
    """The messages then return when their visibility ends, and one record says why."""
    made = batch(fail, Told(broken=True))
    assert returned(made.run(records("ok", "fail"), None, None)) == ["fail-1"]
    (broken,) = [one for one in vars(made)["kept"].records if one["status"] == "BROKEN"]
    assert broken["part"] == "visibility"
    assert broken["error"] == "ConnectionError: no route to SQS"


def test_with_too_little_time_left_the_queue_is_not_told() -> None:
    """A late return is better than a killed invocation, whose completed messages would all come back."""
    told = Told()
    assert returned(batch(fail, told, left=0.9).run(records("fail"), None, None)) == ["fail-0"]
    assert told.delays == []


def test_an_invocation_in_which_all_went_well_tells_nothing() -> None:
    """No call to AWS on the healthy path."""
    told = Told(broken=True)
    made = batch(fail, told)
    made.run(records("ok", "poison"), None, None)
    assert [one["status"] for one in vars(made)["kept"].records if one["status"] == "BROKEN"] == []


def test_a_429_behind_the_block_reaches_the_pacer() -> None:
    """A failure that asks for fewer calls slows this environment down, wherever it was raised."""
    heeded: list[Asked] = []

    class Heeding(Pacer):
        def heed(self, call: Call, asked: Asked) -> None:
            heeded.append(asked)

    batch(fail, Told(), pacer=Heeding()).run(records("slow"), None, None)
    assert heeded == [Asked(60)]


class Client:
    """SQS's client, which keeps what it is asked and refuses some of it."""

    def __init__(self, refused: int = 0) -> None:
        self.calls: list[dict[str, Any]] = []
        self.refused = refused

    def change_message_visibility_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """Keep the call."""
        self.calls.append(arguments)
        return {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid"}] * self.refused}


def test_sqs_is_told_of_ten_messages_with_a_call() -> None:
    """Twelve messages of one queue and one of another are three calls, in whole seconds."""
    client = Client()
    store = QueueVisibility(lambda: client)
    before = store.needs
    delays = [(sqs_record(message_id=f"m-{n}"), 3.2) for n in range(12)]
    store.change([*delays, (sqs_record(message_id="x", arn=FIFO), 50_000.0)])
    assert [len(call["Entries"]) for call in client.calls] == [10, 2, 1]
    assert client.calls[0]["QueueUrl"] == "https://sqs.eu-west-1.amazonaws.com/111122223333/orders"
    assert client.calls[0]["Entries"][0]["VisibilityTimeout"] == 4
    assert client.calls[2]["Entries"][0]["VisibilityTimeout"] == 43_200
    assert store.needs < before


def test_a_message_that_sqs_does_not_delay_is_told() -> None:
    """The error says how many, why, and what becomes of them."""
    with pytest.raises(CouldNotDelay, match=r"1 of 1 messages \(ReceiptHandleIsInvalid\).*visibility"):
        QueueVisibility(lambda: Client(refused=1)).change([(sqs_record(), 1.0)])


@pytest.mark.parametrize(
    ("partition", "host"),
    [("aws", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn"), ("aws-us-gov", "amazonaws.com")],
)
def test_a_queue_is_known_from_its_arn(partition: str, host: str) -> None:
    """Every partition has its own host name."""
    url = url_of(f"arn:{partition}:sqs:xx-north-1:111122223333:orders.fifo")
    assert url == f"https://sqs.xx-north-1.{host}/111122223333/orders.fifo"


def test_returns_are_spread() -> None:
    """A hundred messages that failed at one moment do not come back at one moment."""
    dice = random.Random(1)
    waits = sorted(visibility_after(1, POLICY, dice.random) for _ in range(100))
    assert waits[-1] - waits[0] > 2.5


class Unsteady:
    """A handler whose downstream answers with one outcome after the other."""

    def __init__(self, *outcomes: Exception | None, inside: bool = True) -> None:
        self.outcomes = list(outcomes)
        self.inside = inside

    def __call__(self, body: Any, call: Call) -> None:
        """Call it, inside of the block or behind it."""
        outcome = self.outcomes.pop(0)
        with call.downstream("Courier"):
            if outcome is not None and self.inside:
                raise outcome
        if outcome is not None:
            raise outcome


def statuses(made: Batch) -> list[str]:
    """What was told of messages."""
    told = [one["status"] for one in vars(made)["kept"].records]
    return [status for status in told if status in ("STARTED", "FAILED", "COMPLETED", "HELD")]


def test_a_message_with_half_of_its_receives_behind_it_gets_two_tries_in_each() -> None:
    """The second that succeeds completes it: it does not go back, and both tries are told."""
    told = Told()
    made = batch(Unsteady(ConnectionError(), None), told)
    assert returned(made.run(records("one", receive_count=5), None, None)) == []
    assert told.delays == []
    assert statuses(made) == ["STARTED", "FAILED", "STARTED", "COMPLETED"]


def test_a_second_try_that_fails_is_the_last() -> None:
    """The message goes back, once."""
    told = Told()
    made = batch(Unsteady(ConnectionError(), ConnectionError()), told)
    assert returned(made.run(records("one", receive_count=9), None, None)) == ["one-0"]
    assert told.delays == [("one-0", 3.5)]


def test_a_second_try_keeps_the_order_of_its_group() -> None:
    """What comes behind it in a FIFO queue is begun after it."""
    told = Told()
    made = batch(Unsteady(ConnectionError(), None, None), told)
    event = records("first", "second", group="g", arn=FIFO, receive_count=5)
    assert returned(made.run(event, None, None)) == []
    assert statuses(made) == ["STARTED", "FAILED", "STARTED", "COMPLETED", "STARTED", "COMPLETED"]


@pytest.mark.parametrize(
    ("handler", "receives", "left", "why"),
    [
        (Unsteady(ConnectionError(), None), 4, 60.0, "it has receives enough"),
        (Unsteady(ConnectionError(), None, inside=False), 5, 60.0, "it failed by itself"),
        (Unsteady(SlowDown(), None), 5, 60.0, "the downstream wants fewer calls"),
        (Unsteady(ConnectionError(), None), 5, 0.0, "there is no time"),
    ],
    ids=["early", "by itself", "429", "no time"],
)
def test_no_second_try_where_it_would_do_no_good(
    handler: Unsteady, receives: int, left: float, why: str
) -> None:
    """It goes back after its first."""

    class Late(NoGuard):
        def __init__(self) -> None:
            self.looks = [60.0, left]

        def left(self) -> float:
            return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    handler = Unsteady(*handler.outcomes, inside=handler.inside)
    made = batch(handler, Told())
    made._guard = Late()
    assert returned(made.run(records("one", receive_count=receives), None, None)) == ["one-0"], why
    assert len(handler.outcomes) == 1


def test_no_second_try_in_an_outage() -> None:
    """From the fourth failure in a row each message has one try: else an outage would get twice the calls."""
    handler = Unsteady(*[ConnectionError()] * 10)
    made = batch(handler, Told())
    made.run(records(*["one"] * 5, receive_count=5), None, None)
    # two for the first, two for the second whose first failure is the third in a row, then one each
    assert len(handler.outcomes) == 10 - 7


def test_no_second_try_without_a_pace() -> None:
    """Nothing would lie between the two."""
    call = Call(attempt=5, downstreams={"Courier": DownstreamSettings(name="Courier")})
    with pytest.raises(ConnectionError), call.downstream("Courier"):
        raise ConnectionError
    assert not deserves_another_try(call, POLICY, failures=1)


def test_what_an_open_circuit_refuses_stays_away_ever_longer() -> None:
    """A message that came back for every probe would be out of receives before a long outage is over."""
    delays = []
    for receives in (1, 5, 9):
        told = Told()
        returns = Returns(told, random=lambda: 0.5)
        returns.held(sqs_record(), None, 15.0, refused=receives)
        returns.tell(60)
        delays += [seconds for _, seconds in told.delays]
    assert delays == [16.0, 56.0, 630.0]


def test_a_group_that_an_open_circuit_refused_returns_at_one_moment() -> None:
    """Each with a chance of its own, the latest of them would hold back the group."""
    told = Told()
    luck = iter([0.1, 0.2, 0.8, 0.9, 0.4, 0.5])
    returns = Returns(told, random=lambda: next(luck))
    for number, receives in enumerate((3, 2, 5)):
        record = sqs_record(message_id=f"m-{number}", arn=FIFO, group="g")
        returns.held(record, "g", 15.0, refused=receives)
    returns.tell(60)
    assert len({seconds for _, seconds in told.delays}) == 1
