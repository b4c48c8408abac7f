"""The table in memory does what DynamoDB does, as far as it goes, and refuses the rest."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from moto import mock_aws

from resilient_constructs.testing.states import StatesError, Table

KEY = {"name": {"S": "a"}}
UPDATES: list[dict[str, Any]] = [
    {"UpdateExpression": "ADD calls_1 :n", "ExpressionAttributeValues": {":n": {"N": "2"}}},
    {"UpdateExpression": "ADD calls_1 :n", "ExpressionAttributeValues": {":n": {"N": "-3"}}},
    {
        "UpdateExpression": "SET since_1 = if_not_exists(since_1, :s)"
        " REMOVE #t, calls_0 ADD calls_1 :n, ill_1 :n",
        "ExpressionAttributeNames": {"#t": "transition"},
        "ExpressionAttributeValues": {":n": {"N": "1"}, ":s": {"N": "1700000000.500"}},
    },
    {
        "UpdateExpression": "SET since_1 = if_not_exists(since_1, :s)",
        "ExpressionAttributeValues": {":s": {"N": "9.0"}},
    },
    {
        "UpdateExpression": "SET #state = :state, version = :v, leases = :l REMOVE ill_1",
        "ConditionExpression": "attribute_not_exists(version)",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": {
            ":state": {"S": "OPEN"},
            ":v": {"N": "1"},
            ":l": {"M": {"x/1@2": {"N": "5.100"}}},
        },
    },
    {
        "UpdateExpression": "SET version = :v",
        "ConditionExpression": "version = :before",
        "ExpressionAttributeValues": {":v": {"N": "2"}, ":before": {"N": "1.0"}},
    },
]


def test_it_gives_what_dynamodb_gives() -> None:
    """After each update the same item, numbers without zeros at their ends."""
    table = Table()
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.create_table(
            TableName="t",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for update in UPDATES:
            mine = table.update_item(TableName="t", Key=KEY, ReturnValues="ALL_NEW", **update)["Attributes"]
            theirs = client.update_item(TableName="t", Key=KEY, ReturnValues="ALL_NEW", **update)[
                "Attributes"
            ]
            assert _numbers(mine) == _numbers(theirs)
            assert table.get_item(Key=KEY)["Item"] == mine


def _numbers(item: dict[str, Any]) -> dict[str, Any]:
    # moto keeps a number's zeros, DynamoDB does not
    return {
        name: float(value["N"])
        if "N" in value
        else (value if "S" in value else {id_: float(until["N"]) for id_, until in value["M"].items()})
        for name, value in item.items()
    }


@pytest.mark.parametrize(
    ("condition", "value"), [("attribute_not_exists(version)", None), ("version = :before", "7")]
)
def test_a_condition_that_does_not_hold_changes_nothing(condition: str, value: str | None) -> None:
    """It is refused with DynamoDB's error, named as the optimised integration names it."""
    table = Table()
    table.update_item(
        Key=KEY, UpdateExpression="ADD version :n", ExpressionAttributeValues={":n": {"N": "1"}}
    )
    before = dict(table.items["a"])
    values = {":n": {"N": "1"}, **({":before": {"N": value}} if value else {})}
    with pytest.raises(StatesError, match=r"^DynamoDB\.ConditionalCheckFailedException"):
        table.update_item(
            Key=KEY,
            UpdateExpression="ADD version :n",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
        )
    assert table.items["a"] == before


@pytest.mark.parametrize(
    "update",
    [
        {"UpdateExpression": "SET a = a + :n", "ExpressionAttributeValues": {":n": {"N": "1"}}},
        {"UpdateExpression": "SET a = :n, a = :n", "ExpressionAttributeValues": {":n": {"N": "1"}}},
        {"UpdateExpression": "SET a = :n", "ExpressionAttributeValues": {":n": {"N": 1}}},
        {"UpdateExpression": "SET a = :n", "ExpressionAttributeValues": {":n": {"L": []}}},
        {"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {":n": {"N": "1"}}},
        {"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"#b": "b"}},
        {"UpdateExpression": "REMOVE a", "ConditionExpression": "size(a) > b"},
        {"UpdateExpression": "MOVE a"},
        {"UpdateExpression": "REMOVE a", "Expected": {}},
    ],
)
def test_what_it_does_not_know_it_refuses(update: dict[str, Any]) -> None:
    """Nothing is passed over: neither what DynamoDB refuses nor what is only not known here."""
    with pytest.raises((StatesError, KeyError)):
        Table().update_item(Key=KEY, **update)
