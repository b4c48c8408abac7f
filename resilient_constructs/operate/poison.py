"""The poison store from outside: what is in it, and its records done again or given up.

AWS is found as boto3 finds it: profile, region, ``AWS_ENDPOINT_URL``.

``PoisonStore`` is a seam: whoever takes records out one by one, such as a worker that gives each a slow
second try, needs the same three verbs, and nothing of the commands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from .errors import OperateError

__all__ = ["Entry", "PoisonStore", "QueuedPoison", "by_key", "chosen", "find_queue"]

_HIDDEN_SECONDS = 900
"""How long what is read is hidden from others: long enough to replay thousands of records."""

_EMPTY_READS = 3
"""SQS answers from some of its servers: one empty answer does not mean that a queue is empty.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""
_WAIT_SECONDS = 1
_QUEUE_PART = "PoisonQueue"
"""What the construct's ID leaves in the name that CloudFormation gives the queue."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One record in the store; ``resilient_runtime.streams.entries`` lists the members of ``told``.

    :param receipts: of every message that holds it: it may have been kept twice
    :param stored_in: bucket and key of its object, when a message could not hold it
    """

    told: Mapping[str, Any]
    receipts: tuple[str, ...] = ()
    stored_in: tuple[str, str] | None = None

    @property
    def id(self) -> str:
        """What names it on the command line: shard and sequence number."""
        return f"{str(self.told['shard']).rpartition('/')[2]}:{self.told['sequence_number']}"

    @property
    def key(self) -> str:
        """The partition key; empty for what is known by its position alone."""
        return str(self.told.get("partition_key", ""))

    @property
    def order(self) -> tuple[str, str, int]:
        """Sorts the records of a stream by key, and those of a key as they came."""
        return str(self.told["stream"]), self.key, int(self.told["sequence_number"])

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The record as Lambda delivered it; None when the stream had dropped it."""
        found = self.told.get("record")
        return found if isinstance(found, Mapping) else None


class PoisonStore(Protocol):
    """Takes records out of the store, and either puts them back or removes them."""

    def take(self) -> list[Entry]:
        """Everything there is, hidden from others for a quarter of an hour; in order within each key."""
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
    _clients: dict[str, Any] = field(default_factory=dict)

    def take(self) -> list[Entry]:
        """See ``PoisonStore``.

        :raises OperateError: when a message is no entry, or its object cannot be read
        """
        found: dict[tuple[str, str], Entry] = {}
        messages = list(self._received())
        try:
            for message in messages:
                entry = self._read(message)
                named = str(entry.told["stream"]), entry.id
                if named in found:
                    entry = Entry(
                        told=max(found[named].told, entry.told, key=_worth),
                        receipts=(*found[named].receipts, *entry.receipts),
                        stored_in=entry.stored_in or found[named].stored_in,
                    )
                found[named] = entry
        except OperateError:
            self._show([message["ReceiptHandle"] for message in messages])
            raise
        return sorted(found.values(), key=lambda entry: entry.order)

    def release(self, entries: Iterable[Entry]) -> None:
        """See ``PoisonStore``."""
        self._show([receipt for entry in entries for receipt in entry.receipts])

    def _show(self, receipts: Sequence[str]) -> None:
        for start in range(0, len(receipts), 10):
            self._client("sqs").change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(at), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for at, receipt in enumerate(receipts[start : start + 10])
                ],
            )

    def remove(self, entry: Entry) -> None:
        """See ``PoisonStore``."""
        for receipt in entry.receipts:
            self._client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=receipt)
        if entry.stored_in is not None:
            # Last: a message that points at nothing could not be read any more.
            bucket, key = entry.stored_in
            self._client("s3").delete_object(Bucket=bucket, Key=key)

    def _received(self) -> Iterator[Mapping[str, Any]]:
        empty = 0
        while empty < _EMPTY_READS:
            messages = (
                self._client("sqs")
                .receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=_WAIT_SECONDS,
                    VisibilityTimeout=_HIDDEN_SECONDS,
                )
                .get("Messages", [])
            )
            empty = 0 if messages else empty + 1
            yield from messages

    def _read(self, message: Mapping[str, Any]) -> Entry:
        receipts = (message["ReceiptHandle"],)
        told = _parsed(message["Body"], f"message {message['MessageId']} of {self.url}")
        where = told.get("stored_in")
        if where is None:
            return Entry(told=told, receipts=receipts)
        bucket, key = where["bucket"], where["key"]
        try:
            body = self._client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except Exception as error:  # noqa: BLE001  told by its code, or raised as ours
            said = getattr(error, "response", None) or {}
            if said.get("Error", {}).get("Code") != "NoSuchKey":
                raise OperateError(
                    f"s3://{bucket}/{key} cannot be read ({error}); nothing was changed"
                ) from None
            # Removed with another message of the same record. The rest of the store is not hidden for that.
            return Entry(told={**told, "record": None}, receipts=receipts, stored_in=(bucket, key))
        return Entry(told=_parsed(body, f"s3://{bucket}/{key}"), receipts=receipts, stored_in=(bucket, key))

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.connect(service)
        return self._clients[service]


def find_queue(wanted: str | None, connect: Callable[[str], Any]) -> str:
    """The URL of the poison queue.

    :param wanted: its URL or its name; None for the only one there is
    :raises OperateError: when there is none, or more than one to choose from
    """
    if wanted is not None and wanted.startswith("http"):
        return wanted
    pages = connect("sqs").get_paginator("list_queues").paginate()
    urls = [url for page in pages for url in page.get("QueueUrls", ())]
    names = {url.rpartition("/")[2]: url for url in urls}
    if wanted is not None:
        if wanted not in names:
            raise OperateError(f"there is no queue {wanted!r} in this account and region")
        return str(names[wanted])
    found = [name for name in names if _QUEUE_PART in name]
    if len(found) == 1:
        return str(names[found[0]])
    which = "there is none" if not found else "these have: " + ", ".join(sorted(found))
    raise OperateError(f"which poison queue? Give --queue; by their names, {which}")


def chosen(entries: Sequence[Entry], ids: Sequence[str], key: str | None) -> list[Entry]:
    """Those that were asked for: by id, by partition key, or all.

    :raises OperateError: when an id is unknown; all of them at once
    """
    known = {entry.id for entry in entries}
    if unknown := [one for one in ids if one not in known]:
        raise OperateError(f"not in the store: {', '.join(unknown)}; `resilient poison list` shows what is")
    return [entry for entry in entries if (not ids or entry.id in ids) and (key is None or entry.key == key)]


def by_key(entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The records of each key in the order in which they came."""
    ordered = sorted(entries, key=lambda entry: entry.order)
    for (_, key), of_key in groupby(ordered, key=lambda entry: entry.order[:2]):
        yield key, list(of_key)


def _worth(told: Mapping[str, Any]) -> tuple[bool, bool]:
    """Of one record kept twice: the whole one, and the one that says what it holds back."""
    return isinstance(told.get("record"), Mapping), bool(told.get("parked_table"))


def _parsed(body: str | bytes, where: str) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not {"version", "kind", "shard", "sequence_number"} <= told.keys():
        raise OperateError(f"{where} is no record of a poison store; nothing was changed")
    if told["version"] != 1:
        raise OperateError(
            f"{where} has version {told['version']}; this program knows 1. Install a newer one"
        )
    return told
