"""Counts the pages that have come to an end, and writes a document's manifest when the last one has.

Two sources tell of ends. S3 tells, and never fails to, that a result or a note was stored. Step Functions
tells of executions that failed, timed out or were aborted: at best effort, so what is known inside the
execution is noted in S3 instead, and this is for what nobody inside could note.

Whatever is told twice, late or in any order: a set knows which pages are done, and no counter can drift.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
from places import Page, manifest_key, page_of
from resilient_runtime import Call, Reject

BUCKET = os.environ["DOCUMENTS_BUCKET"]
TABLE = os.environ["DOCUMENTS_TABLE"]
LONGEST_REASON = 256

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")

Item = dict[str, Any]


def collect(detail: dict[str, Any], _: Call) -> None:
    """Count one page.

    :param detail: that of an event *Object Created* or *Step Functions Execution Status Change*
    """
    page, reason = from_execution(detail) if "executionArn" in detail else from_object(detail)
    item = count(page, reason)
    while is_complete(item):
        write_manifest(item)
        # a redriven page may have been counted meanwhile by somebody whose manifest this one has replaced
        latest = read(page.document)
        if latest == item:
            break
        item = latest


def from_object(detail: dict[str, Any]) -> tuple[Page, str | None]:
    """The page whose result or note was stored, and the reason that is in the note."""
    key = detail["object"]["key"]
    if key.startswith("results/"):
        return page_of(key), None
    note = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return page_of(key), str(note["reason"])


def from_execution(detail: dict[str, Any]) -> tuple[Page, str | None]:
    """The page of an execution that ended without a result."""
    given = json.loads(detail["input"])
    created = given["input"] if "resilient" in given else given
    told = (detail["status"], detail.get("error"), message_of(detail.get("cause")))
    return page_of(created["object"]["key"]), ": ".join(each for each in told if each)


def message_of(cause: str | None) -> str | None:
    """What a cause says; a function's is a JSON object with its exception's message in it."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, TypeError, KeyError):
        return cause


def count(page: Page, reason: str | None) -> Item:
    """Note how a page ended: of several reasons the first stays, and a result takes the place of any."""
    values: Item
    if reason is None:
        change = "ADD done :page REMOVE given_up.#page"
        values = {":page": {"NS": [str(page.number)]}}
    else:
        change = "SET given_up.#page = if_not_exists(given_up.#page, :reason)"
        values = {":reason": {"S": reason[:LONGEST_REASON]}}
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key={"document": {"S": page.document}},
            UpdateExpression=change,
            ConditionExpression="attribute_exists(pages)",
            ExpressionAttributeNames={"#page": str(page.number)},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        raise Reject(f"{page.document} is unknown: its item has been deleted") from error
    return dict(answer["Attributes"])


def read(document: str) -> Item:
    """The item as it is now."""
    found = dynamodb.get_item(TableName=TABLE, Key={"document": {"S": document}}, ConsistentRead=True)
    return dict(found["Item"])


def done_of(item: Item) -> set[int]:
    """The pages with a result."""
    return {int(number) for number in item.get("done", {}).get("NS", ())}


def given_up_of(item: Item) -> dict[int, str]:
    """The pages without, and why."""
    done = done_of(item)
    reasons = item["given_up"]["M"].items()
    return {int(number): told["S"] for number, told in sorted(reasons) if int(number) not in done}


def is_complete(item: Item) -> bool:
    """Whether every page has come to an end."""
    return len(done_of(item)) + len(given_up_of(item)) >= int(item["pages"]["N"])


def write_manifest(item: Item) -> None:
    """Write what became of the document's pages."""
    document = item["document"]["S"]
    manifest = {
        "document": document,
        "source": item["source"]["S"],
        "pages": int(item["pages"]["N"]),
        "done": len(done_of(item)),
        "results": f"results/{document}/",
        "given_up": [{"page": number, "reason": why} for number, why in sorted(given_up_of(item).items())],
    }
    s3.put_object(Bucket=BUCKET, Key=manifest_key(document), Body=json.dumps(manifest).encode())
