"""``resilient breaker``: circuits looked at and changed by hand, in a pretended DynamoDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.stores.circuits import DynamoDBCircuits
from typer.testing import CliRunner

from resilient_constructs.operate.command import breaker

TABLE = "Shop-ResilientCircuitsTable02CFC3AE-296C7052CF50A"


def make_table(name: str) -> None:
    """A table as the construct makes it."""
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBCircuits]:
    """An account with one table of circuits among others."""
    for name, value in (
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        make_table("Orders")
        make_table(TABLE)
        yield DynamoDBCircuits(TABLE, lambda: boto3.client("dynamodb"))


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints."""
    done = CliRunner().invoke(breaker, arguments)
    assert done.exit_code == code, done.output
    return done.output


def status() -> list[dict[str, Any]]:
    """Every circuit, as the command tells them to programs."""
    return [json.loads(line) for line in run("status", "--json").splitlines()]


@pytest.mark.parametrize(
    ("order", "state"),
    [("open", CircuitState.FORCED_OPEN), ("disable", CircuitState.DISABLED)],
)
def test_an_order_is_kept_with_its_reason(store: DynamoDBCircuits, order: str, state: CircuitState) -> None:
    """The state is changed, and with it stand the reason and the person, as AWS knows them."""
    run(order, "Courier", "--reason", "maintenance until noon")
    circuit = store.read("Courier").circuit
    assert (circuit.state, circuit.reason) == (state, "maintenance until noon")
    assert circuit.by.startswith("arn:aws:")
    assert status()[0]["reason"] == "maintenance until noon"


def test_an_open_circuit_can_be_closed(store: DynamoDBCircuits) -> None:
    """Whatever opened it, it is closed, in the next version."""
    opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=9.0, changed_at=1.0)
    store.change("Courier", opened, before=Circuit())
    assert "OPEN → CLOSED (version 2" in run("close", "Courier", "-r", "they told us that it is mended")
    assert store.read("Courier").circuit.state is CircuitState.CLOSED


def test_an_order_twice_is_one(store: DynamoDBCircuits) -> None:
    """What is so already is not written again, so that the first reason stays."""
    run("open", "Courier", "-r", "first")
    assert "was FORCED_OPEN already: first" in run("open", "Courier", "-r", "second")
    assert store.read("Courier").circuit.version == 1


@pytest.mark.usefixtures("store")
def test_a_new_name_is_pointed_at() -> None:
    """A name that no circuit ever had may be a slip of the pen, and is pointed at."""
    assert "no circuit named 'Curier' had ever changed" in run("open", "Curier", "-r", "maintenance")


@pytest.mark.usefixtures("store")
def test_an_order_needs_a_reason() -> None:
    """Without a reason, or with an empty one, nothing is changed."""
    run("open", "Courier", code=2)
    assert "--reason is empty" in run("open", "Courier", "--reason", " ", code=2)
    assert status() == []


@pytest.mark.usefixtures("store")
def test_the_status_is_a_table_for_people() -> None:
    """Every circuit that ever changed is a row."""
    assert "all are closed" in run("status")
    run("open", "Courier", "-r", "maintenance")
    assert "FORCED_OPEN" in run("status", "Courier")


@pytest.mark.usefixtures("store")
def test_several_tables_have_to_be_told_apart() -> None:
    """With two tables the command names both and asks for one; the one that is named is used."""
    other = "Back-ResilientCircuitsTableAAAA"
    make_table(other)
    told = run("status", code=2)
    assert TABLE in told
    assert other in told
    run("open", "Courier", "-r", "maintenance", "--table", other)
    assert "no circuit has done anything" in run("status", "--table", TABLE)


@pytest.mark.usefixtures("store")
def test_no_table_is_told_with_its_remedy() -> None:
    """Where there is no table, the error says what to look at."""
    boto3.client("dynamodb").delete_table(TableName=TABLE)
    assert "AWS_PROFILE" in run("status", code=2)


@pytest.mark.usefixtures("store")
def test_what_aws_refuses_is_one_line() -> None:
    """A table that does not exist is AWS's own sentence, without a traceback."""
    told = run("status", "--table", "Nowhere", code=2)
    assert told.startswith("resilient: ")
    assert "ResourceNotFoundException" in told
