"""What becomes of messages whose return SQS is told of, and does not take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, STANDARD, App, batch_of, returned, sqs_record
from resilient_runtime.clock import Clock
from resilient_runtime.returning import Returns
from resilient_runtime.stores.visibility import CouldNotDelay, QueueVisibility


def forbidden() -> ClientError:
    """What SQS answers to a role without the permission."""
    return ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "ChangeMessageVisibilityBatch"
    )


class Sqs:
    """SQS's client: keeps what it is asked, refuses some receipts, forbids some queues, or is away."""

    def __init__(
        self, *, refused: Sequence[str] = (), forbids: Sequence[str] = (), away: bool = False
    ) -> None:
        self.refused = refused
        self.forbids = forbids
        self.away = away
        self.asked: list[str] = []
        self.told: dict[str, int] = {}

    def change_message_visibility_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """As boto3 has it."""
        self.asked.append(arguments["QueueUrl"].rpartition("/")[2])
        if self.away:
            raise ConnectionError("no route to SQS")
        if self.asked[-1] in self.forbids:
            raise forbidden()
        entries = arguments["Entries"]
        assert 1 <= len(entries) <= 10
        assert len({one["Id"] for one in entries}) == len(entries)
        failed = [one for one in entries if one["ReceiptHandle"] in self.refused]
        self.told |= {one["ReceiptHandle"]: one["VisibilityTimeout"] for one in entries if one not in failed}
        return {"Failed": [{"Id": one["Id"], "Code": "ReceiptHandleIsInvalid"} for one in failed]}


def delays(count: int, arn: str = STANDARD) -> list[tuple[Mapping[str, Any], float]]:
    """So many messages that return after three seconds."""
    return [(sqs_record(message_id=f"m-{number}", arn=arn), 3.0) for number in range(count)]


def consumer(sqs: Sqs) -> App:
    """A function, as it is built, whose every message fails."""

    def fail(body: Any, call: Any) -> None:
        raise ConnectionError("the courier is down")

    app = App(fail)
    queue = QueueVisibility(lambda: sqs)
    vars(app.visibility)["change"] = queue.change
    return app


def broken(app: App) -> list[str]:
    """What was told of the queue."""
    return [one["error"] for one in app.records if one["status"] == "BROKEN"]


def test_a_refused_message_goes_back_all_the_same() -> None:
    """It returns when its queue's visibility timeout ends, and one record says so."""
    app = consumer(Sqs(refused=["receipt-m-1"]))
    event = batch_of(*(sqs_record(message_id=f"m-{number}") for number in range(3)))
    assert returned(app(event)) == ["m-0", "m-1", "m-2"]
    (told,) = broken(app)
    assert told.startswith("CouldNotDelay: SQS does not delay 1 of 3 messages (ReceiptHandleIsInvalid)")


def test_a_role_that_may_not_tell_is_told_of_once() -> None:
    """No later batch asks again; each of its messages goes back, and the record names the permission."""
    sqs = Sqs(forbids=["orders"])
    app = consumer(sqs)
    for _ in range(3):
        assert returned(app(batch_of(sqs_record()))) == ["m-1"]
    assert sqs.asked == ["orders"]
    (told,) = broken(app)
    assert "sqs:ChangeMessageVisibility" in told


def test_a_queue_that_is_forbidden_costs_no_other_one_its_returns() -> None:
    """A function may serve two queues, and its role may be right about one of them."""
    sqs = Sqs(forbids=["orders"])
    queue = QueueVisibility(lambda: sqs)
    both = [*delays(1), *delays(1, FIFO)]
    with pytest.raises(CouldNotDelay):
        queue.change(both)
    queue.change(both)
    assert sqs.asked == ["orders", "orders.fifo", "orders.fifo"]


def test_a_queue_that_is_away_is_left_alone_for_a_minute() -> None:
    """Where SQS does not answer, not every message that fails waits for that; an outage passes, though."""
    sqs = Sqs(away=True)
    app = consumer(sqs)
    for _ in range(3):
        assert returned(app(batch_of(sqs_record()))) == ["m-1"]
    assert sqs.asked == ["orders"]
    assert broken(app) == ["ConnectionError: no route to SQS"]
    sqs.away = False
    app.clock.now += 60
    assert returned(app(batch_of(sqs_record()))) == ["m-1"]
    assert list(sqs.told) == ["receipt-m-1"]


def fails(returns: Returns, count: int) -> None:
    """A batch of which nothing succeeds."""
    from resilient_runtime import Call

    returns.begin()
    for record, _ in delays(count):
        returns.failed(record, Call(), ConnectionError(), None)


def test_a_large_batch_is_told_for_as_long_as_there_is_time() -> None:
    """A thousand calls to SQS must not outlast the invocation, and with it what was completed."""
    now = 0.0

    class Slow(Sqs):
        def change_message_visibility_batch(self, **arguments: Any) -> Mapping[str, Any]:
            nonlocal now
            now += 0.5
            return super().change_message_visibility_batch(**arguments)

    sqs = Slow()
    returns = Returns(QueueVisibility(lambda: sqs), clock=Clock(ticks=lambda: now))
    fails(returns, 1_000)
    returns.tell(10.0)
    assert 15 <= len(sqs.asked) <= 20
    assert now < 10


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_refusals_cost_only_those_that_are_refused(count: int, refused: set[int]) -> None:
    """However many of a batch SQS refuses, every other message is told, and the error counts them."""
    sqs = Sqs(refused=[f"receipt-m-{number}" for number in refused])
    returns = Returns(QueueVisibility(lambda: sqs))
    fails(returns, count)
    expected = {f"receipt-m-{number}" for number in range(count) if number not in refused}
    if len(expected) == count:
        returns.tell(60.0)
    else:
        with pytest.raises(CouldNotDelay, match=f"{count - len(expected)} of {count} messages"):
            returns.tell(60.0)
    assert set(sqs.told) == expected
