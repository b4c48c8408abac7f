"""Reads one page: its pictures go to an OCR service, and what that reads becomes the page's result."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import boto3
import leaky_images
import requests
from places import Page, page_of
from pypdf import PdfReader
from resilient_runtime import Reject

BUCKET = os.environ["DOCUMENTS_BUCKET"]
OCR_URL = os.environ["OCR_URL"]
OCR_TIMEOUT = float(os.environ["OCR_TIMEOUT_SECONDS"])

s3 = boto3.client("s3")
http = requests.Session()


# Not ...Error: the workflow's retries and the dead letters name them, as plain statements.
class OcrBusy(Exception):  # noqa: N818
    """The OCR service asks for fewer calls."""


class OcrFailed(Exception):  # noqa: N818
    """The OCR service did not answer, or not as it should."""


def analyse(created: dict[str, Any], _: object) -> dict[str, Any]:
    """Analyse one page that has been stored; done again, it changes nothing.

    :param created: the detail of S3's event *Object Created*
    :raises Reject: when the page's own content is at fault
    :raises OcrBusy: when it is to be tried again later
    :raises OcrFailed: when the OCR service is in trouble
    """
    page = page_of(created["object"]["key"])
    content = s3.get_object(Bucket=BUCKET, Key=page.key)["Body"].read()
    try:
        pictures = pictures_of(content)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever a parser raises over a page, the page is at fault
        raise Reject(give_up(page, str(error))) from error
    texts = [read(page, picture) for picture in pictures]
    result = {"document": page.document, "page": page.number, "pictures": len(pictures), "texts": texts}
    s3.put_object(Bucket=BUCKET, Key=page.result_key, Body=json.dumps(result).encode())
    return {"document": page.document, "page": page.number, "result": page.result_key}


def pictures_of(content: bytes) -> list[leaky_images.Picture]:
    """Every picture on the page, decoded."""
    page = PdfReader(io.BytesIO(content)).pages[0]
    objects = page["/Resources"].get("/XObject", {})
    images = [one.get_object() for one in objects.values()]
    return [
        leaky_images.Picture(one.get_data(), int(one["/Width"]), int(one["/Height"]))
        for one in images
        if one["/Subtype"] == "/Image"
    ]


def read(page: Page, picture: leaky_images.Picture) -> str:
    """Have a picture read."""
    try:
        reply = http.post(
            OCR_URL,
            data=picture.grey(),
            headers={
                "Content-Type": "application/octet-stream",
                "X-Width": str(picture.width),
                "X-Page": f"{page.document}/{page.number}",
            },
            timeout=OCR_TIMEOUT,
        )
    except requests.RequestException as error:
        raise OcrFailed(f"the OCR service did not answer: {type(error).__name__}") from error
    if reply.status_code == requests.codes.too_many_requests:
        wait = reply.headers.get("Retry-After", "some")
        raise OcrBusy(f"the OCR service asks for {wait} seconds' patience")
    if reply.status_code == requests.codes.unprocessable:
        raise Reject(give_up(page, "the OCR service cannot read it"))
    if not reply.ok:
        raise OcrFailed(f"the OCR service answered {reply.status_code}")
    return str(reply.json()["text"])


def give_up(page: Page, why: str) -> str:
    """Leave a note for the manifest; what is returned names the page, for whoever reads the dead letter."""
    s3.put_object(Bucket=BUCKET, Key=page.given_up_key, Body=json.dumps({"reason": why}).encode())
    return f"page {page.number} of {page.document}: {why}"
