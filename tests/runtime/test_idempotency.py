"""A message that is delivered twice is handled once."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remembering_table import on_moto
from resilient_runtime.call import Call
from resilient_runtime.clock import SYSTEM_CLOCK
from resilient_runtime.idempotency import BeingHandled, NotRemembered, make_idempotent
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.reject import Reject
from resilient_runtime.settings import IdempotencySettings

TABLE = "Remembered"
_keys = (f"message-{number}" for number in itertools.count())


class Table:
    """A DynamoDB table on moto whose calls are counted, and fail when they are told to."""

    def __init__(self) -> None:
        self.client = boto3.client("dynamodb")
        self.calls: list[str] = []
        self.failing: dict[str, BaseException] = {}
        self.meta = self.client.meta

    def put_item(self, **arguments: Any) -> Any:
        """A message is begun."""
        return self._call("put_item", arguments)

    def update_item(self, **arguments: Any) -> Any:
        """A message is done."""
        return self._call("update_item", arguments)

    def delete_item(self, **arguments: Any) -> Any:
        """A message failed."""
        return self._call("delete_item", arguments)

    def items(self) -> list[dict[str, Any]]:
        """Everything in the table."""
        found: list[dict[str, Any]] = self.client.scan(TableName=TABLE)["Items"]
        return found

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        self.calls.append(name)
        if name in self.failing:
            raise self.failing[name]
        return getattr(self.client, name)(**arguments)


class Deliveries:
    """Delivers messages to an idempotent handler, and counts how often it ran."""

    def __init__(self, table: Table, *, function_name: str = "Delivery") -> None:
        self.table = table
        self.lines: list[dict[str, Any]] = []
        self.ran: list[str] = []
        self.outcome: BaseException | Callable[[], Any] | None = None
        self._handle = make_idempotent(
            self._handler,
            IdempotencySettings(table_name=TABLE, expires_after=3600),
            function_name=function_name,
            records=RareRecords(
                service="shop",
                function_name=function_name,
                clock=SYSTEM_CLOCK,
                emit=lambda line: self.lines.append(json.loads(line)),
            ),
            connect=lambda: table,
        )

    def deliver(
        self,
        key: str,
        outcome: BaseException | Callable[[], Any] | None = None,
        *,
        remaining: int = 60_000,
    ) -> Any:
        """Deliver one message; the handler returns what ``outcome`` does, or raises it."""
        self.outcome = outcome
        call = Call(idempotency_key=key, message_id=key, remaining=lambda: remaining)
        return self._handle({"order": key}, call)

    def _handler(self, body: dict[str, str], call: Call) -> Any:
        self.ran.append(body["order"])
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return None if self.outcome is None else self.outcome()

    @property
    def told(self) -> list[str]:
        """The status of each record."""
        return [line["status"] for line in self.lines]


@pytest.fixture(scope="module", autouse=True)
def dynamodb() -> Iterator[None]:
    """A table on moto."""
    with on_moto(TABLE):
        yield


@pytest.fixture
def deliveries() -> Deliveries:
    """A handler and its table."""
    return Deliveries(Table())


@pytest.fixture
def key() -> str:
    """A message that no other test has seen."""
    return next(_keys)


def refused(code: str) -> ClientError:
    """What DynamoDB answers when it does not."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutItem")


def test_a_completed_message_is_not_handled_again(deliveries: Deliveries, key: str) -> None:
    """The second delivery of a completed message is done without the handler, and told."""
    deliveries.deliver(key)
    deliveries.deliver(key)

    assert deliveries.ran == [key]
    assert deliveries.told == ["REPEATED"]
    assert deliveries.lines[0]["idempotency_key"] == key
    assert deliveries.lines[0]["Repeated"] == 1


def test_a_message_costs_two_writes_and_its_repetition_one(deliveries: Deliveries, key: str) -> None:
    """DynamoDB is called before and after a handler, once for a repetition, and never to read."""
    deliveries.deliver(key)
    assert deliveries.table.calls == ["put_item", "update_item"]

    deliveries.deliver(key)
    assert deliveries.table.calls[2:] == ["put_item"]


def test_what_the_handler_returns_is_returned_but_never_stored(deliveries: Deliveries, key: str) -> None:
    """A return value need not be JSON, and none of it is in the table."""
    outcome = object()

    assert deliveries.deliver(key, lambda: outcome) is outcome
    assert deliveries.deliver(next(_keys), lambda: "hunter2hunter2") == "hunter2hunter2"
    assert "hunter2" not in str(deliveries.table.items())


@pytest.mark.parametrize("error", [ValueError("no"), Reject("never"), TimeoutError()], ids=repr)
def test_a_failed_or_rejected_message_can_be_handled_again(
    deliveries: Deliveries, key: str, error: Exception
) -> None:
    """What the handler raises arrives unchanged, and the same message is handled when it comes back."""
    with pytest.raises(type(error)) as raised:
        deliveries.deliver(key, error)
    deliveries.deliver(key)

    assert raised.value is error
    assert raised.value.__context__ is None
    assert deliveries.ran == [key, key]


def test_the_stack_of_a_failure_is_the_handlers_own(deliveries: Deliveries, key: str) -> None:
    """No frame of Powertools stands in the stack of what a handler raised."""
    with pytest.raises(ValueError, match="no") as raised:
        deliveries.deliver(key, ValueError("no"))

    assert not [entry.path for entry in raised.traceback if "aws_lambda_powertools" in str(entry.path)]


def test_an_exception_that_means_something_to_powertools_is_only_the_handlers(
    deliveries: Deliveries, key: str
) -> None:
    """A handler that fails with Powertools' own retryable error runs once, not three times."""
    from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyInconsistentStateError

    with pytest.raises(IdempotencyInconsistentStateError):
        deliveries.deliver(key, IdempotencyInconsistentStateError("the handler's own"))

    assert deliveries.ran == [key]


def test_work_that_has_not_begun_is_not_completed(deliveries: Deliveries, key: str) -> None:
    """A handler that returns a coroutine has done nothing, and its message is handled again."""

    async def work() -> None:
        pass

    with pytest.raises(TypeError, match="has not been done"):
        deliveries.deliver(key, work)
    deliveries.deliver(key)

    assert deliveries.ran == [key, key]


def test_a_message_in_the_hands_of_another_environment_is_returned(deliveries: Deliveries, key: str) -> None:
    """While one environment is at work on a message, its second delivery is refused in plain words."""
    with pytest.raises(DeadlineExceeded):
        deliveries.deliver(key, DeadlineExceeded())
    with pytest.raises(BeingHandled, match=f"nothing is lost.*{key}"):
        deliveries.deliver(key)

    assert deliveries.ran == [key]


@pytest.mark.parametrize(("remaining", "least", "most"), [(1_500, 0.1, 1.5), (60_000, 2.0, 2.0)])
def test_a_mark_tells_when_it_ends(
    deliveries: Deliveries, key: str, remaining: int, least: float, most: float
) -> None:
    """Who finds a message in other hands looks again when those have no time left, and within two seconds."""
    with pytest.raises(DeadlineExceeded):
        deliveries.deliver(key, DeadlineExceeded(), remaining=remaining)
    with pytest.raises(BeingHandled) as raised:
        deliveries.deliver(key)

    assert least <= (raised.value.retry_after or 0) <= most


def test_an_interrupted_message_is_free_when_its_invocation_is_over(deliveries: Deliveries, key: str) -> None:
    """A deadline, or a killed environment, holds a message no longer than the invocation could last."""
    with pytest.raises(DeadlineExceeded):
        deliveries.deliver(key, DeadlineExceeded(), remaining=20)
    time.sleep(0.025)
    deliveries.deliver(key)

    assert deliveries.ran == [key, key]


def test_a_deadline_after_the_work_does_not_undo_it(deliveries: Deliveries, key: str) -> None:
    """A deadline that comes while a completed message is noted completes it all the same, and is told."""
    deliveries.table.failing["update_item"] = DeadlineExceeded()
    deliveries.deliver(key)

    assert deliveries.told == ["NOT_REMEMBERED"]


def test_the_interpreters_end_is_not_stopped(deliveries: Deliveries, key: str) -> None:
    """``sys.exit`` goes on, wherever it is met."""
    deliveries.table.failing["update_item"] = SystemExit(3)

    with pytest.raises(SystemExit):
        deliveries.deliver(key)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (refused("ThrottlingException"), "warm throughput"),
        (refused("ProvisionedThroughputExceededException"), "bill it per request"),
        (refused("AccessDeniedException"), "dynamodb:PutItem, UpdateItem and DeleteItem"),
        (refused("ResourceNotFoundException"), "deploy the function again"),
        (ConnectTimeoutError(endpoint_url="https://dynamodb"), "gateway endpoint"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_without_the_table_the_handler_is_not_called(
    deliveries: Deliveries, key: str, error: Exception, remedy: str
) -> None:
    """A table that cannot be asked returns the message, and the error names it and what to do."""
    deliveries.table.failing["put_item"] = error

    with pytest.raises(NotRemembered, match=remedy) as raised:
        deliveries.deliver(key)

    assert deliveries.ran == []
    assert f"'{TABLE}'" in str(raised.value)


def test_a_table_without_the_right_key_is_told_by_what_it_must_be(deliveries: Deliveries, key: str) -> None:
    """DynamoDB's ValidationException becomes a sentence about the partition key."""
    deliveries.table.failing["put_item"] = refused("ValidationException")

    with pytest.raises(NotRemembered, match="partition key 'id'"):
        deliveries.deliver(key)


def test_a_completed_message_that_cannot_be_noted_is_completed(deliveries: Deliveries, key: str) -> None:
    """Returning it would surely run the handler again, so it is deleted, and a record says so."""
    deliveries.table.failing["update_item"] = refused("ThrottlingException")
    deliveries.deliver(key)

    assert deliveries.told == ["NOT_REMEMBERED"]
    assert "runs again" in deliveries.lines[0]["remedy"]


def test_a_rejection_stays_a_rejection_when_the_table_fails(deliveries: Deliveries, key: str) -> None:
    """A table that cannot forget does not turn poison into a retry."""
    deliveries.table.failing["delete_item"] = refused("ThrottlingException")

    with pytest.raises(Reject, match="never"):
        deliveries.deliver(key, Reject("never"))

    assert deliveries.told == ["NOT_REMEMBERED"]
    assert "still says that it is at work" in deliveries.lines[0]["remedy"]


def test_functions_share_a_table_and_not_their_keys(key: str) -> None:
    """Two functions that get the same event each handle it."""
    first = Deliveries(Table(), function_name="Delivery")
    second = Deliveries(Table(), function_name="Invoice")
    first.deliver(key)
    second.deliver(key)

    assert (first.ran, second.ran) == ([key], [key])


def test_a_message_is_remembered_for_the_window_and_no_longer(key: str) -> None:
    """Past its expiry a record counts no more, even before DynamoDB has deleted it."""
    deliveries = Deliveries(Table(), function_name=key)
    deliveries.deliver(key)
    (item,) = [item for item in deliveries.table.items() if item["id"]["S"].startswith(f"{key}#")]
    assert 3590 < int(item["expiration"]["N"]) - time.time() < 3601
    deliveries.table.client.update_item(
        TableName=TABLE,
        Key={"id": item["id"]},
        UpdateExpression="SET expiration = :past",
        ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 1)}},
    )
    deliveries.deliver(key)

    assert deliveries.ran == [key, key]


def test_a_full_log_brings_no_message_back(key: str) -> None:
    """A record that cannot be written fails nothing."""
    deliveries = Deliveries(Table())
    deliveries.lines = None  # type: ignore[assignment]
    deliveries.deliver(key)
    deliveries.deliver(key)

    assert deliveries.ran == [key]


DELIVERY = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["returns", "raises", "rejects", "is interrupted"]),
    st.sampled_from([None, None, None, "put_item", "update_item", "delete_item"]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DELIVERY, max_size=12))
def test_whatever_comes_a_completed_message_is_never_handled_again(
    story: list[tuple[int, str, str | None, bool]],
) -> None:
    """Over any deliveries, failures, crashes and refusals of the table, the handler runs just when it may."""
    table = Table()
    deliveries = Deliveries(table)
    outcomes = {"returns": None, "raises": OSError(), "rejects": Reject("no"), "is interrupted": SystemExit()}
    keys = [next(_keys) for _ in range(3)]
    state = dict.fromkeys(keys, "unknown")
    for number, outcome, failing, time_is_left in story:
        key, before = keys[number], len(deliveries.ran)
        table.failing = {failing: refused("ThrottlingException")} if failing else {}
        try:
            deliveries.deliver(key, outcomes[outcome], remaining=600_000 if time_is_left else 0)
            result = "completed"
        except BeingHandled:
            result = "held"
        except NotRemembered:
            result = "not begun"
        except (OSError, Reject, SystemExit):
            result = "failed"
        time.sleep(0.002)  # what had no time left is over in the next millisecond
        ran = len(deliveries.ran) > before
        left = "held" if time_is_left else "unknown"
        if failing == "put_item":
            assert (ran, result) == (False, "not begun")
        elif state[key] == "done":
            assert (ran, result) == (False, "completed")
        elif state[key] == "held":
            assert (ran, result) == (False, "held")
        else:
            assert ran
            assert result == ("completed" if outcome == "returns" else "failed")
            if outcome == "returns":
                state[key] = left if failing == "update_item" else "done"
            elif outcome == "is interrupted" or failing == "delete_item":
                state[key] = left
