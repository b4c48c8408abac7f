"""Takes a PDF apart into pages. Each page that is stored is the order to analyse it.

Interrupted in the middle it goes on where it was: what is stored already is not stored again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import boto3
from places import Page, document_of, manifest_key
from pypdf import PdfReader, PdfWriter
from resilient_runtime import Call, Reject

BUCKET = os.environ["DOCUMENTS_BUCKET"]
TABLE = os.environ["DOCUMENTS_TABLE"]
MOST_PAGES = 5_000
"""The item that counts a document's pages grows with each and may have 400 KB."""

AT_ONCE = 50
"""A reader keeps every object that it has read; one that is replaced now and then keeps no book."""

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")


def split(created: dict[str, Any], _: Call) -> None:
    """Store every page of a document that has arrived.

    :param created: the detail of S3's event *Object Created*
    """
    key, etag = created["object"]["key"], created["object"]["etag"]
    document = document_of(key, etag)
    # it has no name any more, so /tmp is free again however this ends
    with tempfile.TemporaryFile() as file:
        fetch(key, etag, into=file)
        count = count_pages(key, document, file)
        announce(document, key, count)
        stored = already_stored(document)
        for page, content in pages(document, file, count, without=stored):
            if isinstance(content, bytes):
                s3.put_object(Bucket=BUCKET, Key=page.key, Body=content)
            else:
                give_up(page, f"it cannot be taken out of its document: {content}")


def fetch(key: str, etag: str, *, into: IO[bytes]) -> None:
    """Copy the object that the event is about, and no later one under its key."""
    try:
        body = s3.get_object(Bucket=BUCKET, Key=key, IfMatch=etag)["Body"]
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            raise Reject(f"{key} was overwritten before it was split; the later one has its event") from error
        raise
    shutil.copyfileobj(body, into, 1 << 20)


def count_pages(key: str, document: str, file: IO[bytes]) -> int:
    """How many pages there are, or a rejection; the manifest says so too, for whoever waits for it."""
    try:
        reader = PdfReader(file, strict=True)
        count = 0 if reader.is_encrypted else len(reader.pages)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever a parser raises over a file, the file is at fault
        raise Reject(refuse(key, document, str(error))) from error
    if reader.is_encrypted:
        raise Reject(refuse(key, document, "it asks for a password"))
    if not 1 <= count <= MOST_PAGES:
        raise Reject(refuse(key, document, f"it has {count:,} pages; allowed: 1 to {MOST_PAGES:,}"))
    return count


def refuse(key: str, document: str, fault: str) -> str:
    """Leave a manifest without pages; what is returned names the document, for the dead letter."""
    why = f"{key} cannot be split: {fault}"
    told = {"document": document, "source": key, "pages": None, "refused": why}
    s3.put_object(Bucket=BUCKET, Key=manifest_key(document), Body=json.dumps(told).encode())
    return why


def announce(document: str, key: str, count: int) -> None:
    """Say how many pages there will be, before the first of them can come to its end."""
    with suppress(dynamodb.exceptions.ConditionalCheckFailedException):  # begun before
        dynamodb.put_item(
            TableName=TABLE,
            Item={
                "document": {"S": document},
                "source": {"S": key},
                "pages": {"N": str(count)},
                "given_up": {"M": {}},
            },
            ConditionExpression="attribute_not_exists(document)",
        )


def already_stored(document: str) -> set[str]:
    """The keys of the pages that an earlier attempt has stored."""
    listing = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"pages/{document}/")
    return {found["Key"] for part in listing for found in part.get("Contents", ())}


def pages(
    document: str, file: IO[bytes], count: int, *, without: set[str]
) -> Iterator[tuple[Page, bytes | Exception]]:
    """Each page as a PDF of its own, or why that cannot be made; one bad page does not hold up the others."""
    for first in range(0, count, AT_ONCE):
        reader = PdfReader(file)
        for index in range(first, min(first + AT_ONCE, count)):
            page = Page(document, index + 1)
            if page.key in without:
                continue
            try:
                yield page, alone(reader, index)
            except (OSError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 (one bad page must not hold up the others)
                yield page, error


def alone(reader: PdfReader, index: int) -> bytes:
    """One page as a PDF of its own."""
    writer = PdfWriter()
    writer.add_page(reader.pages[index])
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def give_up(page: Page, why: str) -> None:
    """Say why a page will have no result."""
    s3.put_object(Bucket=BUCKET, Key=page.given_up_key, Body=json.dumps({"reason": why}).encode())
