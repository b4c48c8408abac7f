"""Batches on the local AWS: inline and distributed, from the queue to manifest and dead letters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deployed import Deployed

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import policies_of, prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Pages"
PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Pages(Deployed):
    """The deployed app."""

    stack = STACK

    def send(self, batches: str, batch: object) -> None:
        """Put a batch, or a dead letter's body, into the queue."""
        url = self.made("AWS::SQS::Queue", f"{batches}Queue")
        self.aws.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(batch))

    def ended(self, batches: str, count: int) -> list[Mapping[str, Any]]:
        """All executions so far, once there are so many and all have ended; the latest first."""
        states = self.aws.client("stepfunctions")
        machine = self.made("AWS::StepFunctions::StateMachine", batches)

        def told() -> list[Mapping[str, Any]]:
            listed = states.list_executions(stateMachineArn=machine)["executions"]
            return [states.describe_execution(executionArn=one["executionArn"]) for one in listed]

        self.wait(lambda: sum(one["status"] != "RUNNING" for one in told()) == count)
        return told()

    def letters(self, batches: str) -> list[dict[str, Any]]:
        """All dead letters, taken out of their queue."""
        sqs, url = self.aws.client("sqs"), self.made("AWS::SQS::Queue", f"{batches}DeadLetterQueue")
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def read(self, at: Mapping[str, str]) -> Any:
        """An object of JSON."""
        answer = self.aws.client("s3").get_object(Bucket=at["bucket"], Key=at["key"])
        return json.loads(answer["Body"].read())

    def wait(self, until: Callable[[], bool]) -> None:
        """Until it is so."""
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def pages(local_aws: LocalAws) -> Pages:
    """The app, deployed."""
    app = "python tests/breaker_workflow/batch_app/app.py"
    return Pages(deployment=deploy(local_aws, app=app, cwd=REPOSITORY))


def test_an_inline_batch_ends_with_every_item_in_one_place(pages: Pages) -> None:
    """Four of six succeed, one with a large result; two are dead letters; one succeeds when sent back."""
    items = [{"n": n} for n in range(6)]
    items[1]["then"], items[4]["then"] = "reject", "fail"  # type: ignore[assignment]
    items[2]["text"] = "x" * 9_000  # type: ignore[assignment]
    pages.send("Few", {"items": items})
    (told,) = pages.ended("Few", 1)
    assert told["status"] == "SUCCEEDED", told
    output = json.loads(told["output"])
    assert (output["total"], output["succeeded"], output["failed"]) == (6, 4, 2)
    listed = {one["index"]: one for one in pages.read(output["manifest"])["items"]}
    assert {index for index, one in listed.items() if one["outcome"] == "SUCCEEDED"} == {0, 2, 3, 5}
    assert listed[3]["result"] == {"page": 3, "text": ""}
    assert pages.read(listed[2]["stored"])["result"]["text"] == "x" * 18_000

    letters = {letter["index"]: letter for letter in pages.letters("Few")}
    assert {index: one["error"] for index, one in letters.items()} == {1: "Reject", 4: "BusyError"}
    assert letters[4]["attempts"] == 2
    letters[1]["input"]["input"].pop("then")  # mended, and sent back
    pages.send("Few", letters[1])
    again, _ = pages.ended("Few", 2)
    (once_more,) = pages.read(json.loads(again["output"])["manifest"])["items"]
    assert (once_more["index"], once_more["result"]["page"]) == (1, 1)


def test_a_distributed_batch_ends_with_every_item_in_one_place(pages: Pages) -> None:
    """Of sixty three are refused, no more than may; two of ten are too many, and yet all are done."""
    s3, bucket = pages.aws.client("s3"), pages.made("AWS::S3::Bucket", "Incoming")

    def put(key: str, count: int, poison: set[int]) -> None:
        lines = [json.dumps({"n": n} | ({"then": "reject"} if n in poison else {})) for n in range(count)]
        s3.put_object(Bucket=bucket, Key=key, Body="\n".join(lines).encode())

    put("sixty.jsonl", 60, {7, 20, 59})
    put("ten.jsonl", 10, {0, 9})
    pages.send("Many", {"key": "sixty.jsonl"})
    (told,) = pages.ended("Many", 1)
    assert told["status"] == "SUCCEEDED", told
    output = json.loads(told["output"])
    assert (output["total"], output["succeeded"], output["failed"]) == (60, 57, 3)
    files = pages.read(output["manifest"])["ResultFiles"]
    (done,) = files["SUCCEEDED"]
    results = pages.read({"bucket": output["manifest"]["bucket"], "key": done["Key"]})
    assert {json.loads(one["Output"])["page"] for one in results} == set(range(60)) - {7, 20, 59}
    assert {letter["index"] for letter in pages.letters("Many")} == {7, 20, 59}

    pages.send("Many", {"key": "ten.jsonl"})
    last, _ = pages.ended("Many", 2)
    assert (last["status"], last["error"]) == ("FAILED", "Resilient.TooManyItemsFailed")
    letters = pages.letters("Many")
    assert {letter["index"] for letter in letters} == {0, 9}
    for letter in letters:
        letter["input"]["input"].pop("then")
        pages.send("Many", letter)
    assert [one["status"] for one in pages.ended("Many", 4)[:2]] == ["SUCCEEDED"] * 2


def test_no_grant_is_missing(pages: Pages) -> None:
    """Every call of the runs above was allowed by a policy that was deployed."""
    proof = prove(pages.aws, [STACK])
    assert [(call.principal, call.action, call.resource) for call in proof.denied] == []
    ours = {
        one.owner
        for one in policies_of(pages.aws, [STACK])
        if "-FewRole" in one.owner or "-ManyRole" in one.owner
    }
    assert len(ours) == 2
    unused = {one.action for one in proof.unused if one.owner in ours}
    assert {action for action in unused if not action.startswith(("logs:", "xray:"))} == {
        "s3:GetObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "states:DescribeExecution",
        "states:RedriveExecution",
        "states:StopExecution",
    }
