"""The poison store from outside: what is in it, taken out, held, put back or removed.

AWS is found as boto3 finds it: profile, region, ``AWS_ENDPOINT_URL``.

``PoisonStore`` is a seam: whoever takes records out one by one, such as a worker that gives each a slow
second try, needs the same four verbs, and nothing of the commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import OperateError, asked_for, refusal
from .poison_entries import Entry, parsed, worth

__all__ = ["HELD_SECONDS", "Entry", "PoisonStore", "QueuedPoison", "find_queue"]

_HIDDEN_SECONDS = 900
"""How long what is read is hidden from others: enough to look at it, and to begin."""

_STEP_SECONDS = 920
"""The longest step of a replay: one invocation, and its answer.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

HELD_SECONDS = 1200
"""How long what is held is hidden from then on: a step, and not renewed before each of many short ones.
Twelve hours after it was read SQS refuses to hide it any longer.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
"""

_EMPTY_READS = 3
"""SQS answers from some of its servers: one empty answer does not mean that a queue is empty.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""
_COUNTS = 5
"""SQS counts late: what was put back a moment ago may still count as hidden.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
"""
_WAIT_SECONDS = 1
_QUEUE_PART = "PoisonQueue"
"""What the construct's ID leaves in the name that CloudFormation gives the queue."""


class PoisonStore(Protocol):
    """Takes records out of the store, and either puts them back or removes them."""

    hidden: int
    """How many messages somebody else held when everything was taken, about."""

    def take(self) -> list[Entry]:
        """All that can be seen, hidden from others for a quarter of an hour; in order within each key."""
        ...

    def hold(self, entries: Iterable[Entry]) -> list[Entry]:
        """Keep all that is held hidden for one more step; those of these that others may have seen by now."""
        ...

    def release(self, entries: Iterable[Entry]) -> None:
        """Put them back."""
        ...

    def remove(self, entry: Entry) -> None:
        """It is done with."""
        ...


@dataclass
class QueuedPoison:
    """The store that ``KinesisBisectConsumer`` makes: a queue, and objects for what a message cannot hold.

    :param url: the queue's
    :param connect: makes a client of a service
    """

    url: str
    connect: Callable[[str], Any]
    now: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep
    hidden: int = field(default=0, init=False)
    _clients: dict[str, Any] = field(default_factory=dict, init=False)
    _until: dict[str, float] = field(default_factory=dict, init=False)
    _renew_at: float = field(default=0.0, init=False)

    def take(self) -> list[Entry]:
        """See ``PoisonStore``.

        :raises OperateError: when a message is no entry, or AWS refuses
        """
        # Asked before, too: what is received here may not be counted yet when it is asked afterwards.
        others = self._hidden_beside(0)
        messages: dict[str, Mapping[str, Any]] = {}
        try:
            for message in self._received():
                # The same one again has a new receipt, and the old one is worth nothing.
                messages[message["MessageId"]] = message
            receipts = {message["ReceiptHandle"] for message in messages.values()}
            self._until = {one: until for one, until in self._until.items() if one in receipts}
            self.hidden = max(others, self._hidden_beside(len(messages)))
            found: dict[tuple[str, str], Entry] = {}
            for message in messages.values():
                entry = self._read(message)
                named = str(entry.told["stream"]), entry.id
                found[named] = _merged(found[named], entry) if named in found else entry
        except BaseException:
            with suppress(OperateError):
                self._change([message["ReceiptHandle"] for message in messages.values()], 0)
            raise
        return sorted(found.values(), key=lambda entry: entry.order)

    def hold(self, entries: Iterable[Entry]) -> list[Entry]:
        """See ``PoisonStore``.

        :raises OperateError: when AWS refuses all of it
        """
        now = self.now()
        if now >= self._renew_at:
            self._renew(now)
        return [entry for entry in entries if any(self._sure_until(one) <= now for one in entry.receipts)]

    def release(self, entries: Iterable[Entry]) -> None:
        """See ``PoisonStore``.

        :raises OperateError: when AWS refuses all of it
        """
        receipts = [receipt for entry in entries for receipt in entry.receipts]
        # Not what may be in other hands by now: an old receipt could take it away from them.
        self._change([one for one in receipts if self._sure_until(one) > self.now()], 0)

    def remove(self, entry: Entry) -> None:
        """See ``PoisonStore``.

        :raises OperateError: when AWS refuses
        """
        sqs = self._client("sqs")
        for receipt in entry.receipts:
            asked_for(
                f"sqs:DeleteMessage on {self.url}",
                lambda receipt=receipt: sqs.delete_message(QueueUrl=self.url, ReceiptHandle=receipt),  # type: ignore[misc]
            )
            self._until.pop(receipt, None)
        if entry.stored_in is not None:
            # Last: a message that points at nothing could not be read any more.
            bucket, key = entry.stored_in
            s3 = self._client("s3")
            asked_for(
                f"s3:DeleteObject on s3://{bucket}/{key}", lambda: s3.delete_object(Bucket=bucket, Key=key)
            )

    def _sure_until(self, receipt: str) -> float:
        return self._until.get(receipt, 0.0)

    def _renew(self, now: float) -> None:
        soon = [one for one, until in self._until.items() if now < until < now + _STEP_SECONDS]
        self._change(soon, HELD_SECONDS)
        self._renew_at = min((one for one in self._until.values() if one > now), default=now) - _STEP_SECONDS

    def _change(self, receipts: Sequence[str], seconds: int) -> set[str]:
        """Hide messages for so long; those of which SQS knows that they cannot be."""
        refused: set[str] = set()
        for start in range(0, len(receipts), 10):
            some, until = receipts[start : start + 10], self.now() + seconds
            answer = asked_for(
                f"sqs:ChangeMessageVisibility on {self.url}",
                lambda some=some: self._client("sqs").change_message_visibility_batch(  # type: ignore[misc]
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(at), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                        for at, receipt in enumerate(some)
                    ],
                ),
            )
            failed = {some[int(one["Id"])] for one in answer.get("Failed", ())}
            self._until |= {receipt: 0.0 if receipt in failed else until for receipt in some}
            refused |= failed
        return refused

    def _hidden_beside(self, held: int) -> int:
        """How many messages are hidden beside these: the fewest of a few answers of SQS."""
        fewest = 0
        for at in range(_COUNTS):
            if at:
                self.pause(_WAIT_SECONDS)
            more = self._not_visible() - held
            if more <= 0:
                return 0
            fewest = min(more, fewest or more)
        return fewest

    def _not_visible(self) -> int:
        name = "ApproximateNumberOfMessagesNotVisible"
        answer = asked_for(
            f"sqs:GetQueueAttributes on {self.url}",
            lambda: self._client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=[name]),
        )
        return int(answer["Attributes"][name])

    def _received(self) -> Iterator[Mapping[str, Any]]:
        empty = 0
        while empty < _EMPTY_READS:
            until = self.now() + _HIDDEN_SECONDS
            answer = asked_for(
                f"sqs:ReceiveMessage on {self.url}",
                lambda: self._client("sqs").receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=_WAIT_SECONDS,
                    VisibilityTimeout=_HIDDEN_SECONDS,
                ),
            )
            messages = answer.get("Messages", [])
            self._until |= {message["ReceiptHandle"]: until for message in messages}
            empty = 0 if messages else empty + 1
            yield from messages

    def _read(self, message: Mapping[str, Any]) -> Entry:
        receipts = (message["ReceiptHandle"],)
        told = parsed(message["Body"], f"message {message['MessageId']} of {self.url}")
        where = told.get("stored_in")
        if where is None:
            return Entry(told=told, receipts=receipts)
        bucket, key = where["bucket"], where["key"]
        unreadable = None
        try:
            body = self._client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            told = parsed(body, f"s3://{bucket}/{key}")
        except Exception as error:  # noqa: BLE001  this one cannot be read; all others can
            # Gone: removed with another message of the same record.
            said = getattr(error, "response", None) or {}
            if said.get("Error", {}).get("Code") != "NoSuchKey":
                known = isinstance(error, OperateError)
                unreadable = str(error) if known else refusal(f"s3:GetObject on s3://{bucket}/{key}", error)
            told = {**told, "record": None}
        return Entry(told=told, receipts=receipts, stored_in=(bucket, key), unreadable=unreadable)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.connect(service)
        return self._clients[service]


def find_queue(wanted: str | None, connect: Callable[[str], Any]) -> str:
    """The URL of the poison queue.

    :param wanted: its URL or its name; None for the only one there is
    :raises OperateError: when there is none, or more than one to choose from, or AWS refuses
    """
    if wanted is not None and wanted.startswith("http"):
        return wanted
    if wanted is not None:
        return _url_of(wanted, connect)
    pages = asked_for(
        "sqs:ListQueues",
        lambda: list(connect("sqs").get_paginator("list_queues").paginate()),
        cure="name the poison queue with --queue instead",
    )
    names = {url.rpartition("/")[2]: url for page in pages for url in page.get("QueueUrls", ())}
    found = [name for name in names if _QUEUE_PART in name]
    if len(found) == 1:
        return str(names[found[0]])
    which = "there is none" if not found else "these have: " + ", ".join(sorted(found))
    raise OperateError(f"which poison queue? Give --queue; by their names, {which}")


def _url_of(name: str, connect: Callable[[str], Any]) -> str:
    try:
        answer = asked_for(f"sqs:GetQueueUrl on {name}", lambda: connect("sqs").get_queue_url(QueueName=name))
    except OperateError as error:
        if "NonExistentQueue" not in str(error) and "QueueDoesNotExist" not in str(error):
            raise
        raise OperateError(f"there is no queue {name!r} in this account and region") from error
    return str(answer["QueueUrl"])


def _merged(first: Entry, second: Entry) -> Entry:
    told = max(first.told, second.told, key=worth)
    whole = isinstance(told.get("record"), Mapping)
    return Entry(
        told=told,
        receipts=(*first.receipts, *second.receipts),
        stored_in=second.stored_in or first.stored_in,
        unreadable=None if whole else first.unreadable or second.unreadable,
    )
