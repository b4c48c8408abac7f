"""How far the pipeline is, from what it stores itself: the table of progress, the manifests, the queues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Letter", "Standing", "Watch"]

Client = Callable[[str], Any]
"""Makes a boto3 client of a service: ``LocalAws.client``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How things stand at one moment.

    :param documents: that have been split, or are being
    :param finished: documents with a manifest, refused ones among them
    :param pages: of all documents that could be opened
    :param done: pages with a result
    :param given_up: pages without, with a reason
    :param waiting: pages whose turn has not come
    :param parked: pages that wait for the OCR service to recover
    """

    documents: int = 0
    finished: int = 0
    pages: int = 0
    done: int = 0
    given_up: int = 0
    waiting: int = 0
    parked: int = 0

    @property
    def under_way(self) -> int:
        """Pages that are being split, analysed or counted just now."""
        return max(0, self.pages - self.done - self.given_up - self.waiting - self.parked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One dead letter.

    :param queue: the logical ID of its queue
    :param text: all of it, body and attributes
    """

    queue: str
    text: str


class Watch:
    """Looks at a deployed ``DocumentsStack``.

    :param client: makes a boto3 client of a service
    :param stack: the stack's name
    :param bucket: the documents' bucket
    :param table: the table of progress
    """

    def __init__(self, client: Client, *, stack: str, bucket: str, table: str) -> None:
        self._s3, self._sqs, self._dynamodb = client("s3"), client("sqs"), client("dynamodb")
        self._bucket, self._table = bucket, table
        listing = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        self._queues = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for part in listing
            for resource in part["StackResourceSummaries"]
            if resource["ResourceType"] == "AWS::SQS::Queue"
        }

    def standing(self) -> Standing:
        """How things stand now."""
        items = list(self._items())
        done = [set(item.get("done", {}).get("NS", ())) for item in items]
        given_up = [set(item["given_up"]["M"]) - there for item, there in zip(items, done, strict=True)]
        parked = [name for name in self._queues if name.startswith("AnalyseParked")]
        return Standing(
            documents=len(items),
            finished=sum(1 for _ in self.keys("manifests/")),
            pages=sum(int(item["pages"]["N"]) for item in items),
            done=sum(len(each) for each in done),
            given_up=sum(len(each) for each in given_up),
            waiting=self._depth("AnalyseQueue"),
            parked=sum(self._depth(name) for name in parked),
        )

    def keys(self, prefix: str) -> Iterator[str]:
        """Every object below a prefix."""
        for part in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (found["Key"] for found in part.get("Contents", ()))

    def read(self, key: str) -> dict[str, Any]:
        """An object of JSON."""
        return dict(json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()))

    def letters(self) -> list[Letter]:
        """Everything in the dead-letter queues; it stays there, hidden for a while."""
        found = []
        for name, url in self._queues.items():
            if "DeadLetter" not in name and "Undelivered" not in name:
                continue
            while messages := self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60, MessageAttributeNames=["All"]
            ).get("Messages"):
                found += [
                    Letter(
                        queue=name, text=json.dumps([one["Body"], one.get("MessageAttributes")], default=str)
                    )
                    for one in messages
                ]
        return found

    def _items(self) -> Iterator[dict[str, Any]]:
        for part in self._dynamodb.get_paginator("scan").paginate(TableName=self._table):
            yield from part["Items"]

    def _depth(self, begins: str) -> int:
        counted = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        depth = 0
        for name, url in self._queues.items():
            if name.startswith(begins):
                told = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counted))[
                    "Attributes"
                ]
                depth += sum(int(told[each]) for each in counted)
        return depth
