"""The controller's calls of AWS, and the events that Lambda calls it with."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from mapping_world import World
from moto import mock_aws
from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.controller import ControllerSettings, FeedSettings, MappingState, entry
from resilient_runtime.controller.aws import EventBus, LambdaMappings, WakeQueue, read_wake, reader_of
from resilient_runtime.controller.controller import Unavailable, Wake
from resilient_runtime.stores.circuits import DynamoDBCircuits

COURIER = FeedSettings("m1", ("Courier",), "50")


class Recorder:
    """A client that notes its calls and answers, or raises, what it was told to."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer or {}

        return call


def refusal(code: str) -> ClientError:
    """What boto3 raises when AWS refuses."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateEventSourceMapping")


def test_a_mapping_is_read() -> None:
    """State and maximum concurrency; a mapping of a stream has none, but a number of retries."""
    queue = Recorder({"State": "Enabled", "ScalingConfig": {"MaximumConcurrency": 5}})
    assert LambdaMappings(queue).read("m1") == MappingState("Enabled", 5)
    assert LambdaMappings(Recorder({"State": "Disabling"})).read("m1") == MappingState("Disabling")
    stream = Recorder({"State": "Enabled", "MaximumRetryAttempts": -1})
    assert LambdaMappings(stream).read("m1") == MappingState("Enabled", None, -1)
    assert LambdaMappings(Recorder(refusal("ResourceNotFoundException"))).read("m1") is None


@pytest.mark.parametrize(
    ("enabled", "concurrency", "retries", "asked"),
    [
        (False, None, None, {"UUID": "m1", "Enabled": False}),
        (True, 2, None, {"UUID": "m1", "Enabled": True, "ScalingConfig": {"MaximumConcurrency": 2}}),
        (True, None, None, {"UUID": "m1", "Enabled": True}),
        (True, None, 1, {"UUID": "m1", "Enabled": True, "MaximumRetryAttempts": 1}),
    ],
)
def test_a_mapping_is_changed(
    enabled: bool, concurrency: int | None, retries: int | None, asked: dict[str, Any]
) -> None:
    """One call changes both; what shall stay as it is, is not named."""
    client = Recorder()
    LambdaMappings(client).update("m1", enabled=enabled, concurrency=concurrency, retries=retries)
    assert client.calls == [("update_event_source_mapping", asked)]


@pytest.mark.parametrize(
    "error",
    [
        refusal("ResourceInUseException"),
        refusal("ResourceConflictException"),
        refusal("TooManyRequestsException"),
        refusal("ServiceException"),
        ConnectTimeoutError(endpoint_url="https://lambda"),
    ],
)
def test_what_passes_is_told_from_what_does_not(error: Exception) -> None:
    """Throttling, a mapping in change and the network are Unavailable; a refusal for good stays itself."""
    mappings = LambdaMappings(Recorder(error))
    with pytest.raises(Unavailable):
        mappings.update("m1", enabled=True, concurrency=None, retries=None)
    with pytest.raises(Unavailable):
        mappings.read("m1")
    with pytest.raises(ClientError):
        LambdaMappings(Recorder(refusal("AccessDeniedException"))).read("m1")


def test_a_message_to_oneself_comes_back_as_it_was() -> None:
    """It is kept back for whole seconds and read again into the same."""
    client = Recorder()
    wake = Wake("Courier", 7, tries=2, recovery=True)
    WakeQueue("https://queue", client).leave(wake, 15)
    ((name, asked),) = client.calls
    assert (name, asked["QueueUrl"], asked["DelaySeconds"]) == ("send_message", "https://queue", 15)
    assert read_wake(asked["MessageBody"]) == wake


def test_events_are_put_ten_at_a_time() -> None:
    """EventBridge takes ten; one that it does not take is an error, so that the stream repeats it."""
    client = Recorder({"FailedEntryCount": 0})
    EventBus(client).put([{"Detail": str(one)} for one in range(12)])
    assert [len(asked["Entries"]) for _, asked in client.calls] == [10, 2]
    refused = {"FailedEntryCount": 1, "Entries": [{}, {"ErrorCode": "ThrottlingException"}]}
    with pytest.raises(RuntimeError, match="ThrottlingException"):
        EventBus(Recorder(refused)).put([{}, {}])


def test_a_circuit_is_read_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller never acts on a circuit older than what made it look: its reads are consistent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName="circuits",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        opened = Circuit(state=CircuitState.OPEN, version=1, retry_at=15.0, changed_at=1.0)
        DynamoDBCircuits("circuits", lambda: client).change("Courier", opened, before=Circuit())
        assert reader_of("circuits", client)("Courier") == opened
    asked = Recorder()
    assert reader_of("circuits", asked)("Courier") == Circuit()
    assert asked.calls[0][1]["ConsistentRead"] is True


def context(milliseconds: int = 30_000) -> Any:
    """Lambda's."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds)


def test_each_kind_of_event_is_known() -> None:
    """A stream's records, a queue's messages and the schedule's event each make it look."""
    world = World(feeds=(COURIER,), names=("Courier",))
    record = world.open("Courier")
    assert entry.handle(world.controller, {"Records": [record]}, context()) == {"batchItemFailures": []}
    assert world.look("m1").state == "Disabled"
    world.now += 15
    (wake,) = world.due_wakes()
    message = {"messageId": "1", "body": json.dumps(wake._asdict())}
    assert entry.handle(world.controller, {"Records": [message]}, context()) == {"batchItemFailures": []}
    assert world.look("m1") == MappingState("Enabled", 2)
    world.be("Courier", CircuitState.CLOSED)
    assert entry.handle(world.controller, {"detail-type": "Scheduled Event"}, context()) == {}
    assert world.look("m1") == MappingState("Enabled", 50)


def test_a_message_that_fails_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    """One message that cannot be acted on is returned to the queue; the others are done."""
    world = World(feeds=(COURIER,), names=("Courier",))
    world.open("Courier")
    good = {"messageId": "good", "body": json.dumps(Wake("Courier", 1)._asdict())}
    bad = {"messageId": "bad", "body": "{}"}
    answer = entry.handle(world.controller, {"Records": [bad, good]}, context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert "bad comes again" in capsys.readouterr().out
    assert world.look("m1").state == "Disabled"


def test_settings_are_read_back_as_they_were_written() -> None:
    """What the construct writes into the environment is what the controller reads."""
    settings = ControllerSettings(
        table="circuits",
        wake_queue_url="https://queue",
        feeds=(COURIER, FeedSettings("m2", ("Courier", "Database"))),
        circuits=("Courier",),
        period=60.0,
        bus="shop",
    )
    assert ControllerSettings.from_env(settings.to_env()) == settings
    with pytest.raises(ValueError, match="RESILIENT_CIRCUITS_TABLE is not set"):
        ControllerSettings.from_env({})
