"""What comes again: a batch that waits for a store, one of several of its shard, and what is replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lambda_events import returned
from resilient_runtime import Call, Reject
from resilient_runtime.streams.records import REPLAYED, StreamRecord
from stream_events import KeptKeys, orders, stream_app


def failing_at_the_first(
    seen: list[int], error: Exception | None = None
) -> Callable[[dict[str, Any], Call], None]:
    """A handler that fails order 1, and notes all others."""

    def handle(order: dict[str, Any], call: Call) -> None:
        if order["order"] == 1:
            raise error or ValueError
        seen.append(order["order"])

    return handle


def test_a_record_that_is_replayed_is_done_although_its_environment_remembers_having_kept_it() -> None:
    """Poison behind the record a shard is held at reaches the handler when it is replayed."""
    seen: list[int] = []
    mended = False

    def handle(order: dict[str, Any], call: Call) -> None:
        if not mended:
            raise ValueError
        seen.append(order["order"])

    app = stream_app(handle)
    app.poison.broken = lambda entry: entry["partition_key"] == "k1"
    assert returned(app(orders(1, 2))) == [f"{1:056d}"]
    mended = True
    assert returned(app({**orders(2), REPLAYED: True})) == []
    assert seen == [2]


def test_a_replay_says_nothing_of_what_the_shard_remembers() -> None:
    """What an environment did behind its shard's checkpoint is not forgotten over a replay."""
    seen: list[int] = []
    app = stream_app(failing_at_the_first(seen))
    app.poison.broken = lambda entry: True
    app(orders(1, 2))
    app({**orders(9), REPLAYED: True})
    app(orders(1, 2))
    assert seen == [2, 9]


@pytest.mark.parametrize("error", [ValueError, Reject])
def test_poison_that_fails_again_when_replayed_is_given_back(error: type[Exception]) -> None:
    """It stays in the store as it is, with all that follows it of its key, and is not stored once more."""
    seen: list[int] = []
    app = stream_app(failing_at_the_first(seen, error("still")), parked_keys=KeptKeys())
    assert returned(app({**orders(1, 2, keys=1), REPLAYED: True})) == [f"{1:056d}"]
    assert seen == []
    assert app.poison.entries == []
    assert app.statuses()[-2:] == ["FAILED", "HELD"]


def test_two_batches_of_a_shard_in_turn_are_both_remembered() -> None:
    """With several batches of a shard at once, one that passes does not make another's be done again."""
    seen: list[int] = []
    app = stream_app(failing_at_the_first(seen))
    app.poison.broken = lambda entry: True
    app(orders(1, 3))
    app(orders(2, 4))
    app(orders(1, 3))
    assert seen == [3, 2, 4]


def test_a_table_of_parked_keys_that_does_not_answer_is_waited_for() -> None:
    """A batch waits in its place until it is known which keys are parked, instead of using up its retries."""
    keys = KeptKeys()
    tries: list[float] = []

    class Away(KeptKeys):
        def read(self) -> set[str]:
            tries.append(app.clock.now)
            if app.clock.now < 10:
                raise ConnectionError("no route to DynamoDB")
            return keys.read()

    app = stream_app(lambda order, call: None, parked_keys=Away())
    assert returned(app(orders(1, 2))) == []
    assert 2 <= len(tries) <= 12
    assert app.statuses()[-1] == "COMPLETED"


def test_a_table_of_parked_keys_that_never_answers_fails_the_batch_when_its_time_is_up() -> None:
    """Nothing is done in an order nobody knows; the batch fails late, and says what could not be read."""

    class Away(KeptKeys):
        def read(self) -> set[str]:
            raise ConnectionError("no route to DynamoDB")

    app = stream_app(lambda order, call: None, parked_keys=Away())
    with pytest.raises(ConnectionError):
        app(orders(1, 2))
    assert app.clock.now > 20
    told = next(record for record in app.records if record["status"] == "NOT_KEPT")
    assert "dynamodb:GetItem" in told["remedy"]


def test_no_record_is_parked_after_its_invocations_time() -> None:
    """A batch of parked records ends in time; what is left of it comes again, its order known."""

    class Slow(KeptKeys):
        def wait(self, key: str, record: StreamRecord) -> None:
            super().wait(key, record)
            app.clock.sleep(1.0)

    keys = Slow()
    keys.keys = {f"k{one}" for one in range(100)}
    app = stream_app(lambda order, call: None, parked_keys=keys, seconds=10.0)
    (again,) = returned(app(orders(*range(1, 61))))
    assert 5 < int(again) <= 12
    assert app.clock.now <= 12


def test_poison_that_cannot_be_kept_is_offered_again_while_the_invocation_lasts() -> None:
    """A store that is away for some seconds costs no retry: the batch waits for it, and then goes on."""
    seen: list[int] = []
    app = stream_app(failing_at_the_first(seen))
    app.poison.broken = lambda entry: app.clock.now < 15
    assert returned(app(orders(1, 2, 3, keys=2))) == []
    assert seen == [2, 3]
    assert [entry["partition_key"] for entry in app.poison.entries] == ["k1"]
    assert app.statuses().count("NOT_KEPT") < 12
