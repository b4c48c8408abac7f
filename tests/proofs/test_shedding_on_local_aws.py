"""Old messages on the local AWS: archived, told, and every message is accounted for; each grant is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from courier_run import wait_for
from deployed_consumer import DeployedConsumer
from grants import without

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Shedding"
TOO_OLD = 20.0


@dataclass(frozen=True, kw_only=True)
class Shedding(DeployedConsumer):
    """The deployed consumer, and what one can do to it."""

    stack: ClassVar[str] = STACK

    def feed(self, *, enabled: bool) -> None:
        """Enable or disable both lanes' mappings, as the breaker's controller does."""
        for begins in ("DeliveryEvent", "DeliveryUrgent"):
            uuid = self.made("AWS::Lambda::EventSourceMapping", begins)
            self.aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=enabled)

    def send(self, lane: str, *orders: dict[str, Any]) -> None:
        """Send orders into a lane."""
        url = self.made("AWS::SQS::Queue", lane)
        for order in orders:
            attributes = {"kind": {"DataType": "String", "StringValue": "parcel"}}
            self.aws.client("sqs").send_message(
                QueueUrl=url, MessageBody=json.dumps(order), MessageAttributes=attributes
            )

    def waiting(self, begins: str) -> int:
        """How many messages a queue holds, seen or not."""
        url = self.made("AWS::SQS::Queue", begins)
        found = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return sum(int(value) for name, value in found["Attributes"].items() if name.startswith("Approx"))

    def archived(self) -> dict[str, dict[str, Any]]:
        """Every document of the archive, by its key."""
        s3, bucket = self.aws.client("s3"), self.made("AWS::S3::Bucket")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        return {key: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}

    def records(self, status: str) -> Iterator[dict[str, Any]]:
        """The function's status records of one kind."""
        group = self.made("AWS::Logs::LogGroup", "DeliveryFunction")
        events = self.aws.client("logs").filter_log_events(logGroupName=group)["events"]
        for event in events:
            if f'"status":"{status}"' in event["message"]:
                yield json.loads(event["message"])

    def told(self) -> set[str]:
        """The keys that the event bus was told of."""
        client, found = self.aws.client("sqs"), set()
        url = self.made("AWS::SQS::Queue", "Told")
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found |= {json.loads(one["Body"])["detail"]["key"] for one in messages}
        return found


@pytest.fixture(scope="module")
def shedding(local_aws: LocalAws) -> Shedding:
    """The app, deployed."""
    return Shedding(
        deployment=deploy(local_aws, app="python tests/proofs/shedding_app/app.py", cwd=REPOSITORY)
    )


def numbered(first: int, last: int, **more: object) -> list[dict[str, Any]]:
    """Orders."""
    return [{"id": number, **more} for number in range(first, last)]


def test_the_ledger_balances(shedding: Shedding) -> None:
    """What grew old while the sources were paused is archived; accepted = done + rejected + evicted."""
    shedding.feed(enabled=False)
    shedding.send("DeliveryQueue", *numbered(0, 25), *numbered(25, 28, poison=True))
    shedding.send("DeliveryUrgentQueue", *numbered(28, 32))
    time.sleep(TOO_OLD + 1)
    shedding.send("DeliveryQueue", *numbered(100, 110), *numbered(110, 113, poison=True))
    shedding.send("DeliveryUrgentQueue", *numbered(113, 120))
    shedding.feed(enabled=True)
    for queue in ("DeliveryQueue", "DeliveryUrgentQueue"):
        wait_for(f"an empty {queue}", lambda queue=queue: shedding.waiting(queue) == 0)  # type: ignore[misc]
    found = shedding.archived()
    assert sorted(json.loads(one["body"])["id"] for one in found.values()) == list(range(32))
    assert len(list(shedding.records("COMPLETED"))) == 17
    assert shedding.waiting("DeliveryDeadLetterQueue") == 3
    assert {one["key"] for one in shedding.records("EVICTED")} == set(found)
    assert len(list(shedding.records("STARTED"))) == 20
    assert list(shedding.records("EVICTION_NOT_TOLD")) == []
    assert shedding.told() == set(found)
    for key, one in found.items():
        assert key.startswith("Shedding-Delivery-")
        assert key.endswith(f"{one['message_id']}.json")
        assert one["message_attributes"]["kind"]["stringValue"] == "parcel"
        assert one["age_seconds"] >= TOO_OLD
    assert len({one["queue_arn"] for one in found.values()}) == 2
    assert prove(shedding.aws, [STACK]).denied == ()


@pytest.mark.parametrize(
    ("action", "status", "archived"),
    [("s3:PutObject", "NOT_ARCHIVED", False), ("events:PutEvents", "EVICTION_NOT_TOLD", True)],
)
def test_a_run_without_this_grant_loses_nothing(
    shedding: Shedding, action: str, status: str, archived: bool
) -> None:
    """With one grant taken away the message waits, or lies in the archive, and the log and the proof tell."""
    before, since = len(shedding.archived()), time.time()
    with without(shedding.aws, shedding.role, action):
        shedding.feed(enabled=False)
        shedding.send("DeliveryQueue", {"id": 1000})
        time.sleep(TOO_OLD + 1)
        shedding.feed(enabled=True)
        wait_for(status, lambda: next(shedding.records(status), None) is not None)
        assert {call.action for call in prove(shedding.aws, [STACK], since=since).denied} == {action}
        assert (len(shedding.archived()) > before) is archived
        assert shedding.waiting("DeliveryQueue") == (0 if archived else 1)
    wait_for("the archive", lambda: len(shedding.archived()) == before + 1)
    wait_for("an empty queue", lambda: shedding.waiting("DeliveryQueue") == 0)
