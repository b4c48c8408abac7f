"""``resilient archive``: what was too old to be done, looked at and sent again, in a pretended S3 and SQS."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from resilient_runtime import Call
from resilient_runtime.messages import read
from resilient_runtime.settings import EvictionSettings
from resilient_runtime.shedding import Eviction, document_of
from typer.testing import CliRunner

from resilient_constructs.operate.archive import message_of
from resilient_constructs.operate.archive_command import archive

BUCKET = "shop-archive"
SETTINGS = EvictionSettings(after=3600, bucket=BUCKET, prefix="Shop-Delivery/")
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:orders"


def record(number: int = 1, body: str = "{}", **more: Any) -> dict[str, Any]:
    """An SQS record as Lambda delivers it."""
    return {
        "messageId": f"m-{number}",
        "body": body,
        "attributes": {"SentTimestamp": str(1_800_000_000_000 + number), "ApproximateReceiveCount": "2"},
        "messageAttributes": {"kind": {"stringValue": "gift", "dataType": "String"}},
        "eventSourceARN": QUEUE,
        **more,
    }


def archived(one: dict[str, Any]) -> tuple[str, str]:
    """Key and document, as the runtime writes them."""
    message = read(one)
    call = Call(
        correlation_id=message.correlation_id,
        idempotency_key=message.idempotency_key,
        attempt=message.attempt,
    )
    eviction = Eviction.of(one, call, SETTINGS, now=1_800_010_000)
    return eviction.key, document_of(eviction, consumer="Delivery", evict_after=3600)


def delivered(arguments: dict[str, Any]) -> dict[str, Any]:
    """The record that Lambda would deliver for these arguments of ``SendMessage``."""
    attributes: dict[str, Any] = {}
    for name, sent in arguments.get("MessageAttributes", {}).items():
        attributes[name] = {"dataType": sent["DataType"]}
        if "StringValue" in sent:
            attributes[name]["stringValue"] = sent["StringValue"]
        else:
            attributes[name]["binaryValue"] = b64encode(sent["BinaryValue"]).decode()
    return {"messageId": "m-new", "body": arguments["MessageBody"], "messageAttributes": attributes}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An account with an archive of three messages, and the queue that they came from; its URL."""
    for name, value in (
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for number in range(3):
            key, document = archived(record(number, json.dumps({"order": number})))
            s3.put_object(Bucket=BUCKET, Key=key, Body=document.encode())
        yield boto3.client("sqs").create_queue(QueueName="orders")["QueueUrl"]


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints."""
    done = CliRunner().invoke(archive, arguments)
    assert done.exit_code == code, done.output
    return done.output


def keys() -> list[str]:
    """What lies in the archive."""
    return [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def waiting(url: str) -> list[Any]:
    """What waits in the queue."""
    found = boto3.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return list(found.get("Messages", ()))


@given(
    body=st.text(),
    data=st.binary(min_size=1),
    key=st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,30}", fullmatch=True),
)
def test_what_is_sent_again_reads_as_before(body: str, data: bytes, key: str | None) -> None:
    """Body, attributes, correlation id and idempotency key are what the first handler would have seen."""
    attributes: dict[str, Any] = {"raw": {"binaryValue": b64encode(data).decode(), "dataType": "Binary"}}
    if key is not None:
        attributes["idempotency_key"] = {"stringValue": key, "dataType": "String"}
    first = record(body=body, messageAttributes=attributes)
    before = read(first)
    after = read(delivered(message_of(json.loads(archived(first)[1]), queue_url="https://sqs/orders")))
    assert (after.body, after.correlation_id, after.idempotency_key) == (
        before.body,
        before.correlation_id,
        before.idempotency_key,
    )
    assert after.attributes["raw"] == data


def test_a_message_with_ten_attributes_keeps_them() -> None:
    """Where there is no room for its ids, what its sender said goes first."""
    ten = {f"a{n}": {"stringValue": "x", "dataType": "String"} for n in range(10)}
    document = json.loads(archived(record(messageAttributes=ten))[1])
    assert set(message_of(document, queue_url="https://sqs/orders")["MessageAttributes"]) == set(ten)


def test_a_fifo_message_keeps_its_group_and_is_taken_once() -> None:
    """Its own id deduplicates it, should it be sent twice."""
    one = record()
    one["attributes"]["MessageGroupId"] = "customer-1"
    arguments = message_of(json.loads(archived(one)[1]), queue_url="https://sqs/orders.fifo")
    assert (arguments["MessageGroupId"], arguments["MessageDeduplicationId"]) == ("customer-1", "m-1")


@pytest.mark.usefixtures("account")
def test_the_archive_is_listed() -> None:
    """By consumer and day, for people and, whole, for programs."""
    assert "3 messages" in run("list", f"s3://{BUCKET}/Shop-Delivery/2027-01-15")
    assert "0 messages" in run("list", f"s3://{BUCKET}/Shop-Delivery/2027-01-16")
    lines = [json.loads(line) for line in run("list", f"s3://{BUCKET}", "--json").splitlines()]
    assert [json.loads(line["body"])["order"] for line in lines] == [0, 1, 2]


def test_a_replay_empties_the_archive_into_the_queue(account: str) -> None:
    """Each message goes back to the queue that it came from, and out of the archive once it is there."""
    assert "3 messages sent" in run("replay", f"s3://{BUCKET}/Shop-Delivery/2027-01-15")
    assert keys() == []
    found = waiting(account)
    assert sorted(json.loads(one["Body"])["order"] for one in found) == [0, 1, 2]
    assert {one["MessageAttributes"]["idempotency_key"]["StringValue"] for one in found} == {
        "m-0",
        "m-1",
        "m-2",
    }


def test_a_replay_can_go_elsewhere_and_leave_the_archive(account: str) -> None:
    """``--to`` another queue, ``--keep`` what was archived."""
    other = boto3.client("sqs").create_queue(QueueName="other")["QueueUrl"]
    run("replay", f"s3://{BUCKET}", "--to", other, "--keep")
    assert len(keys()) == 3
    assert (len(waiting(other)), len(waiting(account))) == (3, 0)


def test_what_is_refused_stays_in_the_archive(account: str) -> None:
    """A queue that is gone costs no message, and the command says what AWS answered."""
    boto3.client("sqs").delete_queue(QueueUrl=account)
    told = run("replay", f"s3://{BUCKET}", code=2)
    assert "0 messages sent" in told
    assert "NonExistentQueue" in told
    assert len(keys()) == 3


@pytest.mark.usefixtures("account")
def test_a_strange_object_is_named() -> None:
    """What is no archived message is neither sent nor deleted."""
    boto3.client("s3").put_object(Bucket=BUCKET, Key="a/report.csv", Body=b"1,2")
    assert "s3://shop-archive/a/report.csv is no archived message" in run(
        "replay", f"s3://{BUCKET}/a", code=2
    )
    assert "a/report.csv" in keys()


@pytest.mark.parametrize("where", ["shop-archive", "s3://", "https://s3/shop"])
def test_a_place_is_named_as_s3_does(where: str) -> None:
    """Anything else is refused with the form that is wanted."""
    assert "allowed: s3://BUCKET/CONSUMER/DAY" in run("list", where, code=2)
