"""The outage benchmark: its world is fair, its table is DynamoDB's, and its figures are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence
from moto import mock_aws
from resilient_runtime.breaker import Circuit, CircuitState
from resilient_runtime.breaker.window import Bucket
from resilient_runtime.stores.circuits import DynamoDBCircuits

from benchmarks.outage import POLICY, Ran, measure, true_at
from benchmarks.outage_sides import none, ours, powertools
from benchmarks.outage_table import Table
from benchmarks.outage_world import Load, World

SHORT = Load(per_second=20, before=20, dead_for=60, after=60, environments=10)


@pytest.fixture(scope="module")
def ran() -> dict[str, Ran]:
    """A short outage on every side."""
    return {
        "ours": measure(SHORT, ours(POLICY), 1),
        "powertools": measure(SHORT, powertools(), 1),
        "none": measure(SHORT, none(), 1),
    }


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a table in moto's DynamoDB, for both stores."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        for name, key in (("circuits", "name"), ("theirs", "id")):
            client.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        yield client


def test_each_side_meets_the_same_outage_and_loses_nothing(ran: dict[str, Ran]) -> None:
    """Every message is done in the end, and without a breaker each try is a call."""
    assert [(one.lost, one.dead_lettered) for one in ran.values()] == [(0, 0)] * 3
    assert ran["none"].sent > 1000
    assert ran["ours"].sent < ran["powertools"].sent < ran["none"].sent / 5


def test_ours_keeps_to_its_bound(ran: dict[str, Ran]) -> None:
    """The minimum of calls, one per environment, and the probes; it opens and closes in time."""
    mine = ran["ours"]

    assert mine.sent <= POLICY.outage_calls + SHORT.environments + mine.probes
    assert mine.to_open is not None
    assert mine.to_open < 5
    assert mine.probing is not None
    assert mine.probing < 10


def test_a_run_is_the_same_for_the_same_seed(ran: dict[str, Ran]) -> None:
    """Threads and all."""
    assert measure(SHORT, ours(POLICY), 1) == ran["ours"]
    assert measure(SHORT, powertools(), 1) == ran["powertools"]
    assert measure(SHORT, ours(POLICY), 2) != ran["ours"]


def test_a_message_that_is_never_done_is_dead_lettered() -> None:
    """After ten receives; so the figure can be another than 0."""
    world = World(Load(per_second=1, before=1, dead_for=1, after=1), lambda _: lambda *_: False, 1).run()

    assert world.arrived > 0
    assert world.dead_lettered == world.arrived
    assert world.most_receives == 10


def test_an_error_of_a_side_is_not_taken_for_an_outage() -> None:
    """It ends the run."""

    def start(_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(SHORT, start, 1).run()


@pytest.mark.parametrize(
    ("fails", "at"),
    [
        ([(60 + number, True) for number in range(12)], 69),
        ([(60 + number / 10, number % 2 == 0) for number in range(200)], 63.9),
        ([(60 + number, number % 3 == 0) for number in range(200)], None),
        ([(50 + number, True) for number in range(12)], 60),
    ],
)
def test_the_failure_rate_is_true_for_who_sees_all_calls(fails: list[tuple[float, bool]], at: float) -> None:
    """Of the latest ten almost all failed, or half of at least twenty."""
    assert true_at(fails, 60, POLICY) == at


def test_the_table_answers_our_store_as_dynamodb_does(real: Any) -> None:
    """Counts are added up, buckets go, and who decided from an older version changes nothing."""
    answers = []
    for client in (real, Table("name")):
        store = DynamoDBCircuits("circuits", lambda client=client: client)  # type: ignore[misc]
        opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=15.5, reason="down", by="env1")
        half = Circuit(state=CircuitState.HALF_OPEN, version=2, leases={"a": 1.0}, by="env2")
        answers.append(
            [
                store.read("Courier"),
                store.count("Courier", {5: Bucket(1, 1, 0, 1, 0, 50.5)}),
                store.count("Courier", {5: Bucket(2, 1, 0, 0, 1, 51.0), 6: Bucket(calls=1)}, over=[3]),
                store.change("Courier", opened, before=Circuit(), over=[5]),
                store.change("Courier", opened, before=Circuit()),
                store.change("Courier", half, before=opened),
                store.count("Courier", {}, over=[6]),
                client.get_item(TableName="circuits", Key={"name": {"S": "Courier"}})["Item"],
            ]
        )
    assert answers[0] == answers[1]


def test_the_table_answers_powertools_store_as_dynamodb_does(real: Any) -> None:
    """One prober is elected, for the outage that it saw, and another when the lease is over."""
    answers = []
    for client in (real, Table("id")):
        store = CircuitBreakerDynamoDBPersistence("theirs", boto3_client=client)
        told: list[Any] = [store.try_acquire_half_open("Courier", "a", 100)]
        store.save_open("Courier", failure_count=5, opened_at=100)
        told += [
            store.try_acquire_half_open("Courier", owner, at)
            for owner, at in (("a", 99), ("a", 100), ("b", 100))
        ]
        store.save_reopen("Courier", opened_at=200)
        told.append(store.try_acquire_half_open("Courier", "b", 200))
        store.save_closed("Courier")
        item = dict(client.get_item(TableName="theirs", Key={"id": {"S": "Courier"}})["Item"])
        item.pop("expiration")
        answers.append((told, item))
    assert answers[0] == answers[1]
    assert answers[0][0] == [False, False, True, False, True]
