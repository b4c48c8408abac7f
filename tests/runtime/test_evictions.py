"""Messages that are too old, in a batch: archived, told, and only then done with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import FIFO, NOON, App, Context, Ticking, batch_of, returned, sqs_record
from resilient_runtime import Call, Reject
from resilient_runtime.clock import Clock
from resilient_runtime.interruption import DeadlineExceeded
from resilient_runtime.stores.archive import DefaultBus, S3Archive

OLD, YOUNG = 7200.0, 60.0
EVICTION = json.dumps({"after": 3600, "bucket": "archive", "prefix": "Shop-Delivery/"})


def evicting(function: Any = None, **given: Any) -> App:
    """An environment that evicts what is older than an hour."""
    return App(function or (lambda body, call: None), RESILIENT_EVICTION=EVICTION, **given)


def counted(app: App, metric: str) -> int:
    """What the metric of all records adds up to."""
    return sum(record.get(metric, 0) for record in app.records)


def test_an_old_message_is_archived_and_never_begun() -> None:
    """It is done with; its handler is not called, and the young one beside it is."""
    seen: list[Any] = []
    app = evicting(lambda body, call: seen.append(body))
    response = app(
        batch_of(sqs_record(1, message_id="m-1", age=OLD), sqs_record(2, message_id="m-2", age=YOUNG))
    )
    assert returned(response) == []
    assert seen == [2]
    assert app.archive.ids == ["m-1"]
    assert app.statuses() == ["EVICTED", "STARTED", "COMPLETED"]


def test_an_evicted_message_counts_as_nothing_else() -> None:
    """Evicted is one; started, failed, rejected and held are none, so that nothing seems unfinished."""
    app = evicting()
    app(batch_of(sqs_record(age=OLD)))
    assert counted(app, "Evicted") == 1
    assert [counted(app, name) for name in ("Started", "Completed", "Failed", "Rejected", "Held")] == [0] * 5
    (directive,) = app.records[0]["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["FunctionName"]]


def test_its_record_says_where_it_lies() -> None:
    """Correlation id, age, attempt, bucket and key stand in the EVICTED record."""
    app = evicting()
    app(batch_of(sqs_record(attributes={"correlation_id": "c-9"}, age=OLD, receive_count=3)))
    (record,) = app.records
    assert (record["correlation_id"], record["message_id"], record["attempt"]) == ("c-9", "m-1", 3)
    assert (record["age_seconds"], record["bucket"]) == (OLD, "archive")
    assert list(app.archive.documents) == [record["key"]]


def test_exactly_the_age_is_too_old() -> None:
    """A tenth of a second younger, it is done."""
    app = evicting()
    app(batch_of(sqs_record(age=3599.9, message_id="m-1"), sqs_record(age=3600, message_id="m-2")))
    assert app.archive.ids == ["m-2"]


class Passing(Ticking):
    """A clock on which the time of day passes too."""

    @property
    def clock(self) -> Clock:
        """This clock as the runtime takes it."""
        return Clock(wall=lambda: NOON + self.now, ticks=self.ticks)


def test_what_grows_old_while_others_wait_for_their_turns_is_evicted() -> None:
    """At one call in ten seconds the last of a batch is too old before its turn comes, and takes none."""

    def handle(body: Any, call: Call) -> None:
        with call.downstream("Courier"):
            pass

    courier = {"name": "Courier", "requests_per_second": 0.1, "burst": 1, "max_concurrency": 1}
    app = evicting(handle, clocked=Passing(), RESILIENT_DOWNSTREAMS=json.dumps([courier]))
    records = [sqs_record(message_id=f"m-{n}", age=3595) for n in range(3)]
    assert returned(app(batch_of(*records), Context(600_000))) == []
    assert app.archive.ids == ["m-2"]
    assert app.statuses().count("CALLED") == 2
    assert app.clock.now < 15


def test_without_the_setting_nothing_is_too_old() -> None:
    """By default a message of any age is done."""
    app = App(lambda body, call: None)
    app(batch_of(sqs_record(age=1_000_000)))
    assert app.statuses() == ["STARTED", "COMPLETED"]
    assert app.archive.tries == 0


def test_a_batch_of_old_messages_is_told_of_ten_at_a_time() -> None:
    """Twelve archived messages are two calls of EventBridge, and each has its event."""
    app = evicting()
    records = [sqs_record(message_id=f"m-{n}", age=OLD) for n in range(12)]
    assert returned(app(batch_of(*records))) == []
    assert [len(call) for call in app.bus.calls] == [10, 2]
    told = [json.loads(entry["Detail"])["message_id"] for call in app.bus.calls for entry in call]
    assert told == [record["messageId"] for record in records] == app.archive.ids


def test_what_the_archive_refuses_goes_back() -> None:
    """It is neither done nor lost: it returns after a while, and a record says what to mend."""
    seen: list[Any] = []
    app = evicting(lambda body, call: seen.append(body))
    app.archive.broken = lambda key: True
    assert returned(app(batch_of(sqs_record(age=OLD, receive_count=3)))) == ["m-1"]
    assert seen == []
    (record,) = app.records
    assert (record["status"], record["NotArchived"]) == ("NOT_ARCHIVED", 1)
    assert record["error"] == "ConnectionError: no route to S3"
    assert "s3:PutObject" in record["remedy"]
    ((message, seconds),) = app.visibility.delays
    assert message == "m-1"
    assert 60 <= seconds <= 65
    assert app.bus.calls == []


def test_an_archive_that_refuses_is_asked_once_a_batch() -> None:
    """The others of the batch return untried, so that its time-outs do not add up; young ones are done."""
    app = evicting()
    app.archive.broken = lambda key: True
    batch = batch_of(
        *(sqs_record(message_id=f"m-{n}", age=OLD) for n in range(3)), sqs_record(message_id="young")
    )
    assert returned(app(batch)) == ["m-0", "m-1", "m-2"]
    assert app.archive.tries == 1
    assert counted(app, "NotArchived") == 3
    assert counted(app, "Completed") == 1
    app.archive.broken = lambda key: False
    assert returned(app(batch)) == []
    assert app.archive.ids == ["m-0", "m-1", "m-2"]


def test_a_fifo_group_keeps_its_order() -> None:
    """Behind a message that the archive refused, its group goes back; another group is archived."""
    app = evicting()
    app.archive.broken = lambda key: "m-1" in key

    def one(message_id: str, group: str, age: float) -> dict[str, Any]:
        return sqs_record(message_id=message_id, group=group, arn=FIFO, age=age)

    response = app(batch_of(one("m-1", "a", OLD), one("m-2", "a", YOUNG), one("m-3", "b", YOUNG)))
    assert returned(response) == ["m-1", "m-2"]
    assert app.statuses() == ["NOT_ARCHIVED", "HELD", "STARTED", "COMPLETED"]


def test_behind_one_that_failed_an_old_message_of_its_group_waits() -> None:
    """It is not archived before its elders are settled, or the group would be out of order."""

    def fail(body: Any, call: Call) -> None:
        raise ValueError

    app = evicting(fail)
    batch = batch_of(
        sqs_record(message_id="m-1", group="a", arn=FIFO, age=YOUNG),
        sqs_record(message_id="m-2", group="a", arn=FIFO, age=OLD),
    )
    assert returned(app(batch)) == ["m-1", "m-2"]
    assert app.archive.ids == []


def test_an_event_that_cannot_be_sent_loses_nothing() -> None:
    """The message stays archived and done with; the log has its key, and what to mend."""
    app = evicting()
    app.bus.is_down = True
    assert returned(app(batch_of(sqs_record(age=OLD)))) == []
    told = app.records[-1]
    assert (told["status"], told["EvictionNotTold"]) == ("EVICTION_NOT_TOLD", 1)
    assert list(app.archive.documents) == [told["key"]]
    assert "events:PutEvents" in told["remedy"]


def test_an_event_that_is_refused_is_told_alone() -> None:
    """Of ten events of which EventBridge refuses one, that one's key stands in the log."""
    app = evicting()
    app.bus.refused = {3: "ThrottlingException: slow down"}
    app(batch_of(*(sqs_record(message_id=f"m-{n}", age=OLD) for n in range(10))))
    (told,) = [record for record in app.records if record["status"] == "EVICTION_NOT_TOLD"]
    assert (told["message_id"], told["error"]) == ("m-3", "ThrottlingException: slow down")


def test_the_urgent_lanes_messages_are_told_apart() -> None:
    """Their records have a lane, those of the other queue have none, and the handler knows, too."""
    seen: list[str | None] = []
    app = evicting(lambda body, call: seen.append(call.lane), RESILIENT_URGENT_QUEUE_ARN=FIFO)
    app(batch_of(sqs_record(arn=FIFO), sqs_record(arn=FIFO, age=OLD), sqs_record(), sqs_record(age=OLD)))
    assert seen == ["urgent", None]
    told = [(record["status"], record.get("lane")) for record in app.records]
    assert told == [
        ("STARTED", "urgent"),
        ("COMPLETED", "urgent"),
        ("EVICTED", "urgent"),
        ("STARTED", None),
        ("COMPLETED", None),
        ("EVICTED", None),
    ]


def interrupted(key: str) -> bool:
    """What the deadline does to whoever waits too long."""
    raise DeadlineExceeded("interrupted")


def test_an_archive_that_does_not_answer_is_interrupted() -> None:
    """Shortly before the timeout the message goes back, and what the batch has completed stays done."""
    app = evicting()
    app.archive.broken = interrupted
    batch = batch_of(sqs_record(message_id="m-1"), sqs_record(message_id="m-2", age=OLD))
    assert returned(app(batch)) == ["m-2"]
    assert app.statuses() == ["STARTED", "COMPLETED", "NOT_ARCHIVED"]
    assert app.records[-1]["error"] == "DeadlineExceeded: interrupted"


def test_a_bus_that_does_not_answer_is_interrupted() -> None:
    """The message stays archived and done with."""
    app = evicting()
    app.bus.put = interrupted  # type: ignore[method-assign, assignment]
    assert returned(app(batch_of(sqs_record(age=OLD)))) == []
    assert app.statuses() == ["EVICTED", "EVICTION_NOT_TOLD"]


def test_a_log_that_is_full_brings_no_message_back() -> None:
    """A record that cannot be written does not undo what is archived."""
    app = evicting()
    app.broken_lines = {1}
    assert returned(app(batch_of(sqs_record(age=OLD)))) == []
    assert app.archive.ids == ["m-1"]


def test_a_message_that_cannot_be_read_is_archived_as_it_is() -> None:
    """What is no message of SQS's own form is kept all the same."""
    app = evicting()
    record = {**sqs_record(age=OLD), "messageAttributes": {"correlation_id": None}}
    assert returned(app(batch_of(record))) == []
    assert app.archive.ids == ["m-1"]


@given(
    fates=st.lists(st.sampled_from(["young", "old", "refused", "fails", "rejects"]), max_size=12),
    down=st.booleans(),
)
def test_the_ledger_balances(fates: list[str], down: bool) -> None:
    """Whatever happens to each: accepted = completed + rejected + evicted + returned, each in one of them."""

    def handle(fate: Any, call: Call) -> None:
        if fate == "fails":
            raise ValueError
        if fate == "rejects":
            raise Reject("poison")

    app = evicting(handle)
    app.bus.is_down = down
    refused = {f"m-{n}.json" for n, fate in enumerate(fates) if fate == "refused"}
    app.archive.broken = lambda key: any(key.endswith(one) for one in refused)
    records = [
        sqs_record(json.dumps(fate), message_id=f"m-{n}", age=OLD if fate in ("old", "refused") else YOUNG)
        for n, fate in enumerate(fates)
    ]
    back = returned(app(batch_of(*records)))
    completed = [one["message_id"] for one in app.records if one["status"] == "COMPLETED"]
    everywhere = back + completed + app.dead_letters.ids + app.archive.ids
    assert sorted(everywhere) == sorted(record["messageId"] for record in records)
    ends = sum(counted(app, name) for name in ("Completed", "Failed", "Rejected", "Held"))
    assert counted(app, "Started") == ends


class Client:
    """Stands in for boto3."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        """Note what is asked."""
        self.asked.append(arguments)
        return self.answer

    put_events = put_object


def test_s3_is_asked_for_one_object_per_message() -> None:
    """Bucket, key, the document as UTF-8, and its type."""
    client = Client({})
    S3Archive("archive", lambda: client).put("a/b.json", '{"a":1}')
    assert client.asked == [
        {"Bucket": "archive", "Key": "a/b.json", "Body": b'{"a":1}', "ContentType": "application/json"}
    ]


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}, {"EventId": "2"}]}, {}),
        (
            {
                "FailedEntryCount": 1,
                "Entries": [{"EventId": "1"}, {"ErrorCode": "Down", "ErrorMessage": "x"}],
            },
            {1: "Down: x"},
        ),
    ],
)
def test_eventbridge_refuses_single_events(answer: dict[str, Any], refused: dict[int, str]) -> None:
    """A call of PutEvents that succeeds may have refused some of its entries."""
    assert DefaultBus(lambda: Client(answer)).put([{}, {}]) == refused
