"""Messages that were too old to be done, looked at in their archive and sent again.

AWS is found as boto3 finds it: profile, region, ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from resilient_runtime.correlation import ATTRIBUTE, KEY_ATTRIBUTE
from resilient_runtime.rejection import MAX_ATTRIBUTES, MAX_BYTES, size_of

from .breaker import asked
from .errors import OperateError

__all__ = ["Archived", "Place", "find", "message_of", "parse_place", "replay"]

_SCHEME = "s3://"


class Place(NamedTuple):
    """Where archived messages lie.

    :param prefix: what their keys begin with; empty for the whole bucket
    """

    bucket: str
    prefix: str


class Archived(NamedTuple):
    """One message in the archive, as ``resilient_runtime.shedding.document_of`` wrote it."""

    key: str
    document: Mapping[str, Any]


def parse_place(text: str) -> Place:
    """Read ``s3://bucket/prefix``.

    :raises OperateError: when it is none
    """
    bucket, _, prefix = text.removeprefix(_SCHEME).partition("/")
    if not text.startswith(_SCHEME) or not bucket:
        raise OperateError(f"{text!r} is no place in S3; allowed: s3://BUCKET/CONSUMER/DAY, or a part of it")
    return Place(bucket, prefix)


def find(place: Place, connect: Callable[[str], Any]) -> Iterator[Archived]:
    """Every message that lies there, as they were sent.

    :raises OperateError: when AWS refuses, or an object is no archived message
    """
    s3 = connect("s3")
    pages = asked(
        lambda: list(s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix))
    )
    for page in pages:
        for one in page.get("Contents", ()):
            key = one["Key"]
            content = asked(lambda key=key: s3.get_object(Bucket=place.bucket, Key=key)["Body"].read())  # type: ignore[misc]
            yield Archived(key, _read(place, key, content))


def message_of(document: Mapping[str, Any], *, queue_url: str) -> dict[str, Any]:
    """The arguments of ``SendMessage`` that send an archived message again.

    Its correlation id and idempotency key go with it as attributes, where there is room: what its handler
    calls then knows it again, although it is a new message to SQS.
    """
    sent: dict[str, Any] = dict(document["message_attributes"])
    for name, value in (
        (KEY_ATTRIBUTE, document["idempotency_key"]),
        (ATTRIBUTE, document["correlation_id"]),
    ):
        more = sent | {name: {"dataType": "String", "stringValue": value}}
        if name not in sent and len(more) <= MAX_ATTRIBUTES and size_of(document["body"], more) <= MAX_BYTES:
            sent = more
    arguments: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": document["body"]}
    group = document["attributes"].get("MessageGroupId")
    if group is not None:
        arguments["MessageGroupId"] = group
    if queue_url.endswith(".fifo"):
        # Sent twice, because it could not be taken out of the archive, SQS takes it once.
        arguments["MessageDeduplicationId"] = document["message_id"]
    if sent:
        arguments["MessageAttributes"] = {name: _for_sending(value) for name, value in sent.items()}
    return arguments


def replay(
    place: Place, archived: Archived, connect: Callable[[str], Any], *, to: str | None, keep: bool
) -> str:
    """Send one message again, and take it out of the archive once SQS has it; where it was sent to.

    :param to: a queue's URL. Default: the queue that it came from
    :param keep: leave it in the archive
    :raises OperateError: when AWS refuses; the message then lies in the archive still
    """
    sqs = connect("sqs")
    url = to or asked(lambda: _url_of(archived.document["queue_arn"], sqs))
    arguments = message_of(archived.document, queue_url=url)
    asked(lambda: sqs.send_message(**arguments))
    if not keep:
        asked(lambda: connect("s3").delete_object(Bucket=place.bucket, Key=archived.key))
    return url


def _url_of(arn: str, sqs: Any) -> str:
    account, name = arn.split(":")[4:6]
    return str(sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])


def _read(place: Place, key: str, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "body" not in document or "message_id" not in document:
        raise OperateError(f"s3://{place.bucket}/{key} is no archived message; name a narrower place")
    return document


def _for_sending(attribute: Mapping[str, Any]) -> dict[str, Any]:
    value = attribute.get("stringValue")
    if isinstance(value, str):
        return {"DataType": attribute["dataType"], "StringValue": value}
    binary = a2b_base64(attribute.get("binaryValue") or "")
    return {"DataType": attribute["dataType"], "BinaryValue": binary}
