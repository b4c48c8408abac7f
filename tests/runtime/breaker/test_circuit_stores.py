"""The DynamoDB table and the store in memory: one and the same to a breaker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from breaker_fleet import NAME, START, Fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from resilient_runtime.breaker import Breaker, BreakerPolicy, Circuit, CircuitState, MemoryCircuits, Record
from resilient_runtime.breaker.window import Bucket
from resilient_runtime.clock import Clock
from resilient_runtime.stores.circuits import DynamoDBCircuits, dynamodb_client


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A DynamoDB with the table that a breaker needs."""
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.create_table(
            TableName="circuits",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture
def store(client: Any) -> DynamoDBCircuits:
    """The table, empty."""
    client.delete_item(TableName="circuits", Key={"name": {"S": NAME}})
    return DynamoDBCircuits("circuits", lambda: client)


INDEXES = st.integers(566_666_660, 566_666_664)
TIMES = st.integers(1_700_000_000_000, 1_700_000_100_000).map(lambda ms: ms / 1000)
BUCKETS = st.builds(
    Bucket,
    calls=st.integers(0, 9),
    failed=st.integers(0, 9),
    slow=st.integers(0, 9),
    ill=st.integers(-1, 1),
    well=st.integers(-1, 1),
    since=st.one_of(st.just(0.0), TIMES),
)
CIRCUITS = st.builds(
    Circuit,
    state=st.sampled_from(CircuitState),
    version=st.integers(1, 4),
    changed_at=TIMES,
    retry_at=st.none() | TIMES,
    closed_at=st.none() | TIMES,
    openings=st.integers(0, 3),
    successes=st.integers(0, 2),
    leases=st.dictionaries(st.sampled_from(["env0/1@1.000", "a.b#c:d"]), TIMES, max_size=2),
    reason=st.sampled_from(["", "of 20 calls 20 failed", "ключ 'x' :before #name"]),
    by=st.sampled_from(["", "env0"]),
)
COUNTING = st.tuples(st.just("count"), st.dictionaries(INDEXES, BUCKETS, max_size=3), st.lists(INDEXES))
CHANGING = st.tuples(st.just("change"), CIRCUITS, st.integers(0, 4), st.lists(INDEXES, max_size=3))


@given(steps=st.lists(COUNTING | CHANGING, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_stores_do_the_same(client: Any, steps: list[Any]) -> None:
    """Whatever is counted and changed, from whichever version: same answers, same contents."""
    client.delete_item(TableName="circuits", Key={"name": {"S": NAME}})
    table, memory = DynamoDBCircuits("circuits", lambda: client), MemoryCircuits()
    for step in steps:
        if step[0] == "count":
            _, entries, over = step
            assert table.count(NAME, entries, over) == memory.count(NAME, entries, over)
        else:
            _, circuit, version, over = step
            before = Circuit(version=version)
            assert table.change(NAME, circuit, before=before, over=over) == memory.change(
                NAME, circuit, before=before, over=over
            )
        assert table.read(NAME) == memory.read(NAME)


def test_a_circuit_nobody_has_written_is_closed(store: DynamoDBCircuits) -> None:
    """An empty table is all that an app begins with."""
    assert store.read(NAME) == Record()


def test_the_item_is_plain(store: DynamoDBCircuits, client: Any) -> None:
    """Numbers, strings and one map of numbers, so that a state machine can read and write them."""
    store.count(NAME, {5: Bucket(calls=3, failed=2, ill=1, since=START)})
    store.change(
        NAME,
        Circuit(state=CircuitState.HALF_OPEN, version=1, changed_at=START, leases={"a": START + 8}, by="a"),
        before=Circuit(),
    )

    item = client.get_item(TableName="circuits", Key={"name": {"S": NAME}})["Item"]
    assert item == {
        "name": {"S": "Courier"},
        "state": {"S": "HALF_OPEN"},
        "version": {"N": "1"},
        "changed_at": {"N": "1700000000.000"},
        "leases": {"M": {"a": {"N": "1700000008.000"}}},
        "by": {"S": "a"},
        "transition": {"S": "CLOSED>HALF_OPEN"},
        "calls_5": {"N": "3"},
        "failed_5": {"N": "2"},
        "ill_5": {"N": "1"},
        "since_5": {"N": "1700000000.000"},
    }


def test_only_a_change_of_state_is_a_transition(store: DynamoDBCircuits, client: Any) -> None:
    """A stream's filter on that attribute lets nothing else through."""

    def transition() -> str | None:
        item = client.get_item(TableName="circuits", Key={"name": {"S": NAME}})["Item"]
        return item.get("transition", {}).get("S")

    opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=START)
    half = Circuit(state=CircuitState.HALF_OPEN, version=2, leases={"a": START})
    store.change(NAME, opened, before=Circuit())
    assert transition() == "CLOSED>OPEN"
    store.count(NAME, {5: Bucket(calls=1)})
    assert transition() is None
    store.change(NAME, half, before=opened)
    assert transition() == "OPEN>HALF_OPEN"
    store.change(NAME, replace(half, version=3, leases={}), before=half)
    assert transition() is None


def test_who_decided_from_an_older_version_learns_the_newer(store: DynamoDBCircuits) -> None:
    """The refused write brings back what is stored, so nobody has to read again."""
    opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=START, reason="down", by="env1")
    store.change(NAME, opened, before=Circuit())
    written = store.change(NAME, replace(opened, by="env2"), before=Circuit())

    assert written == (False, Record(opened))


def test_another_error_is_not_taken_for_a_refusal(client: Any) -> None:
    """A missing table is an outage of the store, and the breaker's to survive."""
    store = DynamoDBCircuits("nothing", lambda: client)

    with pytest.raises(ClientError, match="not found"):
        store.change(NAME, Circuit(version=1), before=Circuit())
    with pytest.raises(ClientError, match="not found"):
        store.read(NAME)
    errors: list[Exception] = []
    breaker = Breaker(NAME, store=store, on_store_error=errors.append)
    with breaker:
        pass
    assert [type(one).__name__ for one in errors] == ["ResourceNotFoundException"]


def test_a_breaker_goes_its_whole_way_in_the_table(store: DynamoDBCircuits) -> None:
    """Closed, open, half open and closed again, over a real client."""
    fleet = Fleet(2)
    for number, breaker in enumerate(fleet.breakers):
        fleet.breakers[number] = Breaker(
            NAME,
            BreakerPolicy(),
            store=store,
            environment=breaker.environment,
            clock=Clock(wall=lambda: START + fleet.now, ticks=lambda: fleet.now),
            random=lambda: 0.5,
            on_transition=[fleet.transitions.append],
        )
    for number in range(60):
        fleet.fail(number % 2)
        fleet.now += 0.2
    circuit = store.read(NAME).circuit
    assert (circuit.state, circuit.reason) == (
        CircuitState.OPEN,
        "of the latest 11 calls 11 failed, in 2 of 2 environments",
    )

    fleet.now = (circuit.retry_at or 0) - START
    for number in range(3):
        assert fleet.call(number % 2)
    assert store.read(NAME).circuit.state is CircuitState.CLOSED
    assert [one.circuit.state for one in fleet.transitions] == ["OPEN", "HALF_OPEN", "CLOSED"]


def test_the_client_gives_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that hangs costs a call a second or two, once, and nothing is sent twice."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config: Any = dynamodb_client().meta.config  # type: ignore[attr-defined]

    assert (config.connect_timeout, config.read_timeout) == (1, 1)
    assert config.retries["total_max_attempts"] == 1


def test_the_client_is_made_when_it_is_needed() -> None:
    """Making the store costs nothing; most environments need boto3 for nothing else."""
    made: list[int] = []
    DynamoDBCircuits("circuits", lambda: made.append(1))  # type: ignore[arg-type, func-returns-value]

    assert made == []
