"""Configuration and idempotency through the entry point, from environment variables to the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from lambda_events import App, batch_of, returned, sqs_record
from moto import mock_aws
from resilient_runtime import Call, ConfigurationUnavailable, Reject, configuration

SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A parameter, a secret and a table on moto."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        boto3.client("ssm").put_parameter(Name="/shop/url", Value="http://courier", Type="String")
        boto3.client("secretsmanager").create_secret(Name="shop/key", SecretString=SECRET)
        boto3.client("dynamodb").create_table(
            TableName="Remembered",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield


ENTRIES = json.dumps(
    [
        {"name": "url", "kind": "parameter", "source": "/shop/url"},
        {"name": "key", "kind": "secret", "source": "shop/key"},
    ]
)
REMEMBERED = json.dumps({"table_name": "Remembered"})


def test_a_handler_reads_what_its_construct_named() -> None:
    """The values are there before the first invocation begins."""
    app = App(
        lambda event, context: [configuration["url"], configuration.text("key")],
        mode="event",
        RESILIENT_CONFIGURATION=ENTRIES,
    )

    assert app({}) == ["http://courier", SECRET]


def test_a_loaded_secret_is_in_no_record() -> None:
    """A handler that fails with the secret in its event and its exception leaves a record without it."""

    def fail(event: Any, context: Any) -> None:
        raise ValueError(f"the courier refused {configuration['key']}")

    app = App(fail, mode="event", RESILIENT_CONFIGURATION=ENTRIES)
    with pytest.raises(ValueError, match=SECRET):
        app({"note": f"please use {SECRET}"})

    assert app.statuses() == ["STARTED", "FAILED"]
    assert SECRET not in "".join(app.lines)


def test_what_cannot_be_loaded_fails_only_who_asks_for_it() -> None:
    """An environment starts without a parameter; the handler that needs it fails, and is told why."""
    missing = json.dumps([{"name": "url", "kind": "parameter", "source": "/nope"}])
    app = App(
        lambda event, context: configuration["url"] if event["ask"] else "well",
        mode="event",
        RESILIENT_CONFIGURATION=missing,
    )

    assert app({"ask": False}) == "well"
    with pytest.raises(ConfigurationUnavailable, match="there is no such parameter"):
        app({"ask": True})
    assert app.statuses()[0] == "UNCONFIGURED"


def test_a_message_that_comes_twice_is_handled_once() -> None:
    """Within a batch and over batches, and its second delivery is completed."""
    ran: list[str] = []
    app = App(lambda body, call: ran.append(call.message_id), RESILIENT_IDEMPOTENCY=REMEMBERED)
    twice = batch_of(sqs_record(message_id="m-1"), sqs_record(message_id="m-1"), sqs_record(message_id="m-2"))

    assert returned(app(twice)) == []
    assert returned(app(twice)) == []
    assert ran == ["m-1", "m-2"]
    assert app.statuses().count("COMPLETED") == 6
    assert app.statuses().count("REPEATED") == 4


def test_a_rejected_message_is_stored_once_for_each_time_it_is_rejected() -> None:
    """Sent back from the dead-letter queue, it is handled again, for somebody may have cured the cause."""
    cured = False

    def deliver(body: Any, call: Call) -> None:
        if not cured:
            raise Reject("no such address")

    app = App(deliver, RESILIENT_IDEMPOTENCY=REMEMBERED)
    assert returned(app(batch_of(sqs_record(message_id="m-1")))) == []
    cured = True
    assert returned(app(batch_of(sqs_record(message_id="m-1")))) == []

    assert app.dead_letters.ids == ["m-1"]
    assert app.statuses() == ["STARTED", "REJECTED", "STARTED", "COMPLETED"]


def test_a_failed_message_returns_and_is_tried_again() -> None:
    """The first attempt fails and returns, the second completes."""
    attempts: list[int] = []

    def deliver(body: Any, call: Call) -> None:
        attempts.append(call.attempt)
        if len(attempts) == 1:
            raise TimeoutError("the courier is slow")

    app = App(deliver, RESILIENT_IDEMPOTENCY=REMEMBERED)

    assert returned(app(batch_of(sqs_record(message_id="m-1")))) == ["m-1"]
    assert returned(app(batch_of(sqs_record(message_id="m-1", receive_count=2)))) == []
    assert attempts == [1, 2]
    assert app.dead_letters.ids == []


def test_without_its_table_every_message_returns_with_the_remedy() -> None:
    """A table that is gone costs no message; the FAILED record says what to do."""
    app = App(
        lambda body, call: None, RESILIENT_IDEMPOTENCY=json.dumps({"table_name": "Gone", "expires_after": 60})
    )

    assert returned(app(batch_of(sqs_record(message_id="m-1"), sqs_record(message_id="m-2")))) == [
        "m-1",
        "m-2",
    ]
    assert "There is no such table" in app.records[1]["error"]
