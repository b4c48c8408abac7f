"""Ten thousand messages on the local AWS: each is done, or a dead letter that says why."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sizes import sized

from resilient_constructs.local import Deployment, LocalAws, deploy
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.timeout(240)]

REPOSITORY = Path(__file__).parents[2]
MESSAGES = sized(10_000, 4_000)
RECEIVES = 3
PATIENCE = 120.0


def kind_of(number: int) -> str:
    """One message in forty is rejected, one in forty fails as often as it is tried."""
    return {0: "rejected", 20: "broken"}.get(number % 40, "good")


@dataclass(frozen=True, kw_only=True)
class Queues:
    """The consumer's queues."""

    deployment: Deployment

    def url(self, begins: str) -> str:
        """The one queue whose logical ID begins so."""
        parts = self.deployment.templates["Poisoned"].resources
        (found,) = [n for n, one in parts.items() if one.type == "AWS::SQS::Queue" and n.startswith(begins)]
        return self.deployment.physical_id(found)

    def send(self, numbers: range) -> int:
        """Send messages, a batch in each call; how many SQS took."""
        sqs, url = self.deployment.aws.client("sqs"), self.url("DeliveryQueue")

        def send_batch(first: int) -> int:
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": json.dumps({"number": number, "kind": kind_of(number)}),
                    "MessageAttributes": {
                        "correlation_id": {"DataType": "String", "StringValue": f"order-{number}"}
                    },
                }
                for number in range(first, first + 10)
            ]
            return len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"])

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(send_batch, range(numbers.start, numbers.stop, 10)))

    def waiting(self) -> int:
        """How many messages are not done with."""
        answer = self.deployment.aws.client("sqs").get_queue_attributes(
            QueueUrl=self.url("DeliveryQueue"), AttributeNames=["All"]
        )
        return sum(int(value) for name, value in answer["Attributes"].items() if name.startswith("Approx"))

    def dead_letters(self) -> Iterator[Mapping[str, Any]]:
        """Every dead letter, taken out of its queue."""
        sqs, url = self.deployment.aws.client("sqs"), self.url("DeliveryDeadLetterQueue")
        while found := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            yield from found

    def records(self, status: str) -> Iterator[Mapping[str, Any]]:
        """The consumer's status records of one kind."""
        logs = self.deployment.aws.client("logs")
        parts = self.deployment.templates["Poisoned"].resources
        (group,) = [name for name, one in parts.items() if one.type == "AWS::Logs::LogGroup"]
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=self.deployment.physical_id(group), filterPattern=f'"{status}"'
        )
        for page in pages:
            for event in page["events"]:
                if event["message"].startswith("{"):
                    record = json.loads(event["message"])
                    if record.get("status") == status:
                        yield record


def test_what_was_accepted_is_done_or_a_dead_letter_with_its_reason(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    """Of 10,000 messages with 5 % poison each good one is done, each bad one dead-lettered; it says why."""
    done_in = tmp_path / "done"
    deployment = deploy(
        local_aws,
        app="python tests/flow_controlled_consumer/poisoned_app/app.py",
        cwd=REPOSITORY,
        context={"done": str(done_in)},
    )
    queues = Queues(deployment=deployment)
    started = time.monotonic()
    accepted = queues.send(range(MESSAGES))
    assert accepted == MESSAGES
    while queues.waiting():
        assert time.monotonic() - started < PATIENCE, queues.waiting()
        time.sleep(0.5)

    expected = {
        kind: {n for n in range(MESSAGES) if kind_of(n) == kind} for kind in ("good", "rejected", "broken")
    }
    done = Counter(int(line) for line in done_in.read_text().split())
    assert set(done) == expected["good"]
    dead = {json.loads(one["Body"])["number"]: one for one in queues.dead_letters()}
    assert set(dead) == expected["rejected"] | expected["broken"]
    assert len(dead) == MESSAGES / 20
    assert len(done) + len(dead) == accepted
    for number in expected["rejected"]:
        label = json.loads(dead[number]["MessageAttributes"]["resilient_rejection"]["StringValue"])
        assert label["reason"] == f"nobody lives at {number}"
    for number in expected["broken"]:
        label = json.loads(dead[number]["MessageAttributes"]["resilient_rejection"]["StringValue"])
        assert (label["reason"], label["error"], label["attempt"]) == (
            f"gave up after {RECEIVES} receives",
            f"LookupError: no product {number}",
            RECEIVES,
        )
    failed = Counter(
        record["correlation_id"] for record in queues.records("FAILED") if "no product" in json.dumps(record)
    )
    assert failed == {f"order-{number}": RECEIVES for number in expected["broken"]}
