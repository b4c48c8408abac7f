"""The documents example's handlers against an S3 and a DynamoDB in memory, with PDFs that it makes itself."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from pypdf import PdfReader, PdfWriter
from resilient_runtime import Call, Reject

from examples.load.documents.ocr import OcrServer
from examples.load.documents.pdfs import Document, text_of

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "documents"
MODULES = ("split", "analyse", "collect", "places", "leaky_images")
BUCKET, TABLE = "documents", "progress"
CALL = Call()


class World:
    """A bucket, a table and the handlers, as freshly imported."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.dynamodb = boto3.client("dynamodb", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "document", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "document", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.split = importlib.import_module("split")
        self.analyse = importlib.import_module("analyse")
        self.collect = importlib.import_module("collect")

    def empty(self) -> None:
        """Forget everything, and close what the library has left open."""
        for key in self.keys(""):
            self.s3.delete_object(Bucket=BUCKET, Key=key)
        for item in self.dynamodb.scan(TableName=TABLE)["Items"]:
            self.dynamodb.delete_item(TableName=TABLE, Key={"document": item["document"]})
        kept = sys.modules["leaky_images"]._CACHE
        for _, spool, again in kept:
            spool.close()
            again.close()
        kept.clear()

    def store(self, key: str, content: bytes) -> dict[str, Any]:
        """Store an object; the detail of the event that S3 sends for it."""
        etag = self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"]
        return self.event(key, etag.strip('"'))

    def event(self, key: str, etag: str = "") -> dict[str, Any]:
        """The detail of *Object Created*."""
        return {"bucket": {"name": BUCKET}, "object": {"key": key, "etag": etag}}

    def keys(self, prefix: str) -> list[str]:
        """The objects below a prefix."""
        return [
            one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
        ]

    def content(self, key: str) -> bytes:
        """An object."""
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def json(self, key: str) -> dict[str, Any]:
        """An object of JSON."""
        return dict(json.loads(self.content(key)))

    def announce(self, document: str, pages: int) -> None:
        """Say how many pages a document has, as the split does."""
        self.split.announce(document, f"incoming/{document}.pdf", pages)

    def ended(self, document: str, page: int, reason: str | None) -> dict[str, Any]:
        """A page comes to an end; the event for it."""
        if reason is None:
            return self.event(f"results/{document}/{page:05}.json")
        return self.store(f"given-up/{document}/{page:05}.json", json.dumps({"reason": reason}).encode())


@pytest.fixture(scope="module")
def account() -> Iterator[World]:
    """One account for all tests: clients take a second to make."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in {
            "DOCUMENTS_BUCKET": BUCKET,
            "DOCUMENTS_TABLE": TABLE,
            "OCR_URL": "http://127.0.0.1:9/read",
            "OCR_TIMEOUT_SECONDS": "2",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(HANDLERS))
        for name in MODULES:
            sys.modules.pop(name, None)
        yield World()
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def world(account: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """The account, empty; what the pictures leave in ``/tmp`` ends with the test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield account
    account.empty()


def test_a_document_becomes_pages_that_stand_alone(world: World) -> None:
    """Each page is a PDF of one page with its own text, and the number of pages is known."""
    document = Document(name="a", pages=3)
    world.split.split(world.store("incoming/batch/a.pdf", document.content()), CALL)
    pages = world.keys("pages/")
    assert [key.rsplit("/", 1)[1] for key in pages] == ["00001.pdf", "00002.pdf", "00003.pdf"]
    assert all(key.startswith("pages/batch/a-") for key in pages)
    for number, key in enumerate(pages, 1):
        alone = PdfReader(io.BytesIO(world.content(key)), strict=True)
        assert [page.extract_text().strip() for page in alone.pages] == [text_of("a", number)]
    (item,) = world.dynamodb.scan(TableName=TABLE)["Items"]
    assert item["pages"] == {"N": "3"}


def test_a_split_that_was_interrupted_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored is not stored again, so no page is ordered twice."""
    arrived = world.store("incoming/a.pdf", Document(name="a", pages=4).content())
    monkeypatch.setattr(world.split, "alone", _failing_at(world.split.alone, 3, OSError("no more time")))
    with pytest.raises(OSError, match="no more time"):
        world.split.split(arrived, CALL)
    before = {
        key: world.s3.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in world.keys("pages/")
    }
    assert len(before) == 2
    monkeypatch.undo()
    stored: list[str] = []
    monkeypatch.setattr(world.split.s3, "put_object", lambda **given: stored.append(given["Key"]))
    world.split.split(arrived, CALL)
    assert [key[-9:] for key in stored] == ["00003.pdf", "00004.pdf"]


def _failing_at(alone: Any, at: int, error: Exception) -> Any:
    calls = iter(range(1, 1_000))

    def fail(*given: Any) -> Any:
        if next(calls) == at:
            raise error
        return alone(*given)

    return fail


def test_one_page_that_cannot_be_taken_out_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted with its reason, and the rest is stored."""
    monkeypatch.setattr(world.split, "alone", _failing_at(world.split.alone, 2, KeyError("/Kids")))
    world.split.split(world.store("incoming/a.pdf", Document(name="a", pages=3).content()), CALL)
    assert [key[-9:] for key in world.keys("pages/")] == ["00001.pdf", "00003.pdf"]
    (note,) = world.keys("given-up/")
    assert "/Kids" in world.json(note)["reason"]


def _encrypted() -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(Document(name="a", pages=1).content()))
    writer.encrypt("secret", algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def _empty() -> bytes:
    made = io.BytesIO()
    PdfWriter().write(made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(Document(name="a", pages=9, truncated=True).content(), "EOF marker", id="truncated"),
        pytest.param(_encrypted(), "password", id="encrypted"),
        pytest.param(_empty(), "0 pages; allowed: 1 to 5,000", id="without pages"),
        pytest.param(b"GIF89a", "cannot be split", id="no PDF"),
    ],
)
def test_a_document_that_nobody_can_open_is_refused_by_name(world: World, content: bytes, why: str) -> None:
    """It is poison: rejected at once, with its key and the reason, which its manifest has too."""
    with pytest.raises(Reject, match=r"incoming/a\.pdf") as rejected:
        world.split.split(world.store("incoming/a.pdf", content), CALL)
    assert why in str(rejected.value)
    (manifest,) = world.keys("manifests/")
    assert world.json(manifest)["refused"] == str(rejected.value)
    assert world.json(manifest)["source"] == "incoming/a.pdf"
    assert world.keys("pages/") == []


def test_a_document_that_was_overwritten_is_left_to_its_own_event(world: World) -> None:
    """The event tells of a content that is no longer there: nothing is split under its name."""
    arrived = world.store("incoming/a.pdf", Document(name="a", pages=1).content())
    world.store("incoming/a.pdf", Document(name="b", pages=1).content())
    with pytest.raises(Reject, match="overwritten"):
        world.split.split(arrived, CALL)
    assert world.keys("pages/") == []


def _page(world: World, document: Document, number: int = 1) -> dict[str, Any]:
    reader = PdfReader(io.BytesIO(document.content()))
    return world.store(f"pages/{document.name}-1/{number:05}.pdf", world.split.alone(reader, number - 1))


def test_a_pages_result_is_what_is_written_on_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its picture is read by the OCR service, and the text stands under the page's number."""
    with OcrServer(seconds=0) as ocr:
        monkeypatch.setattr(world.analyse, "OCR_URL", ocr.url)
        answer = world.analyse.analyse(_page(world, Document(name="a", pages=3), 2), None)
        world.analyse.http.close()
    assert answer == {"document": "a-1", "page": 2, "result": "results/a-1/00002.json"}
    assert world.json(answer["result"])["texts"] == [text_of("a", 2)]


def test_a_poison_page_is_rejected_by_name(world: World) -> None:
    """A broken picture is the page's fault: rejected with document and page, and noted for the manifest."""
    with pytest.raises(Reject, match=r"page 1 of a-1: .* pixels"):
        world.analyse.analyse(_page(world, Document(name="a", pages=1, poison=frozenset({1}))), None)
    assert "pixels" in world.json("given-up/a-1/00001.json")["reason"]


@pytest.mark.parametrize(
    ("weather", "error"), [("busy", "OcrBusy"), ("down", "OcrFailed"), ("gone", "OcrFailed")]
)
def test_the_services_trouble_is_not_the_pages(
    world: World, monkeypatch: pytest.MonkeyPatch, weather: str, error: str
) -> None:
    """A service that throttles, is down or cannot be reached leaves no note: the page is tried again."""
    with OcrServer(requests_per_second=0.01, seconds=0) as ocr:
        ocr.is_down = weather == "down"
        if weather == "busy":
            ocr.answer(b"the one call that it takes")
        if weather != "gone":
            monkeypatch.setattr(world.analyse, "OCR_URL", ocr.url)
        with pytest.raises(getattr(world.analyse, error)):
            world.analyse.analyse(_page(world, Document(name="a", pages=1)), None)
        world.analyse.http.close()
    assert world.keys("given-up/") == []
    assert world.keys("results/") == []


def _failed(world: World, document: str, page: int, **more: Any) -> dict[str, Any]:
    created = world.event(f"pages/{document}/{page:05}.pdf")
    return {"executionArn": "arn", "status": "FAILED", "input": json.dumps(created), **more}


def test_the_manifest_comes_with_the_last_page(world: World) -> None:
    """Not before; then it has the number of results and the reason of each page without."""
    world.announce("a", 3)
    world.collect.collect(world.ended("a", 1, None), CALL)
    world.collect.collect(world.ended("a", 3, "broken"), CALL)
    assert world.keys("manifests/") == []
    world.collect.collect(world.ended("a", 2, None), CALL)
    assert world.json("manifests/a.json") == {
        "document": "a",
        "source": "incoming/a.pdf",
        "pages": 3,
        "done": 2,
        "results": "results/a/",
        "given_up": [{"page": 3, "reason": "broken"}],
    }


@pytest.mark.parametrize("enveloped", [False, True])
def test_an_execution_that_failed_ends_its_page(world: World, enveloped: bool) -> None:
    """Its error and the message in its cause are the reason, whether it had been parked or not."""
    world.announce("a", 1)
    cause = json.dumps({"errorMessage": "the OCR service answered 503", "errorType": "OcrFailed"})
    failed = _failed(world, "a", 1, error="OcrFailed", cause=cause)
    if enveloped:
        failed["input"] = json.dumps({"resilient": {"parked": 2}, "input": json.loads(failed["input"])})
    world.collect.collect(failed, CALL)
    (given_up,) = world.json("manifests/a.json")["given_up"]
    assert given_up == {"page": 1, "reason": "FAILED: OcrFailed: the OCR service answered 503"}


def test_an_execution_that_timed_out_has_no_cause(world: World) -> None:
    """The status alone is the reason then."""
    world.announce("a", 1)
    world.collect.collect({**_failed(world, "a", 1), "status": "TIMED_OUT"}, CALL)
    assert world.json("manifests/a.json")["given_up"] == [{"page": 1, "reason": "TIMED_OUT"}]


def test_a_page_that_was_redriven_is_done(world: World) -> None:
    """A result takes the place of the reason, in the manifest too."""
    world.announce("a", 1)
    world.collect.collect(_failed(world, "a", 1), CALL)
    world.collect.collect(world.ended("a", 1, None), CALL)
    manifest = world.json("manifests/a.json")
    assert (manifest["done"], manifest["given_up"]) == (1, [])


def test_a_document_that_nobody_announced_is_rejected(world: World) -> None:
    """Its item was deleted by hand, so there is nothing to count in, and nothing is made up."""
    with pytest.raises(Reject, match="a is unknown"):
        world.collect.collect(world.ended("a", 1, None), CALL)
    assert world.dynamodb.scan(TableName=TABLE)["Items"] == []


def test_a_manifest_that_is_overtaken_is_written_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted while it was being written is in the manifest that stays."""
    world.announce("a", 1)
    write = world.collect.write_manifest

    def overtaken(item: dict[str, Any]) -> None:
        monkeypatch.setattr(world.collect, "write_manifest", write)
        world.collect.collect(world.ended("a", 1, None), CALL)
        write(item)

    monkeypatch.setattr(world.collect, "write_manifest", overtaken)
    world.collect.collect(_failed(world, "a", 1), CALL)
    assert world.json("manifests/a.json")["done"] == 1


ENDS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, "broken", "late"])), max_size=12)


class Counting:
    """Stands in for DynamoDB's two expressions, so that thousands of orders of events can be tried."""

    def __init__(self, pages: int) -> None:
        self.item: dict[str, Any] = {
            "document": {"S": "a"},
            "source": {"S": "incoming/a.pdf"},
            "pages": {"N": str(pages)},
            "given_up": {"M": {}},
        }

    def update_item(self, **given: Any) -> dict[str, Any]:
        """As in ``collect.count``."""
        page = given["ExpressionAttributeNames"]["#page"]
        item = json.loads(json.dumps(self.item))
        if given["UpdateExpression"].startswith("ADD"):
            there = set(item.get("done", {}).get("NS", ()))
            item["done"] = {"NS": sorted(there | {page})}
            item["given_up"]["M"].pop(page, None)
        else:
            item["given_up"]["M"].setdefault(page, given["ExpressionAttributeValues"][":reason"])
        self.item = item
        return {"Attributes": item}


@given(ends=ENDS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ends_may_come_in_any_order_and_repeatedly(
    account: World, monkeypatch: pytest.MonkeyPatch, ends: list[tuple[int, str | None]]
) -> None:
    """The manifest is there exactly when every page has ended, and has each page's result, else a reason."""
    collect, written = account.collect, list[dict[str, Any]]()
    with monkeypatch.context() as patch:
        patch.setattr(collect, "dynamodb", Counting(4))
        patch.setattr(collect, "s3", _Noted(written))
        for page, reason in ends:
            item = collect.count(collect.Page("a", page), reason)
            if collect.is_complete(item):
                collect.write_manifest(item)
    done = {page for page, reason in ends if reason is None}
    explained = {page for page, reason in ends if reason is not None} - done
    assert bool(written) == (done | explained == {1, 2, 3, 4})
    if written:
        assert written[-1]["done"] == len(done)
        assert {one["page"] for one in written[-1]["given_up"]} == explained


class _Noted:
    def __init__(self, written: list[dict[str, Any]]) -> None:
        self._written = written

    def put_object(self, **given: Any) -> None:
        self._written.append(json.loads(given["Body"]))
