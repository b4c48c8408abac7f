"""The documents example's leaky image library on AWS's own runtime, with Lambda's 1,024 descriptors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from examples.load.documents.ocr import OcrServer
from examples.load.documents.pdfs import Document
from resilient_constructs.soak import ExecutionEnvironment

pytestmark = [pytest.mark.rie, pytest.mark.slow]

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "documents"
DESCRIPTORS = 1024
PER_PAGE = 2
PAGES = 1_200


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Stands in for S3: has one page, under every key, and takes everything."""
    page = Document(name="invoices-01", pages=1).content()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 16_384

        def do_GET(self) -> None:
            self._answer(page)

        def handle_expect_100(self) -> bool:
            going_on = super().handle_expect_100()
            self.wfile.flush()  # or the client waits a second for it
            return going_on

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def ocr() -> Iterator[str]:
    """An OCR service that takes whatever comes, at once."""
    with OcrServer(requests_per_second=100_000, seconds=0) as server:
        yield server.url


def environment(bucket: str, ocr: str, *, with_us: bool) -> ExecutionEnvironment:
    """The function that analyses pages, as ``examples/documents.py`` has it."""
    return ExecutionEnvironment(
        "resilient_runtime.entry.handler" if with_us else "analyse.analyse",
        path=HANDLERS,
        memory=512,
        tmp=512,
        descriptors=DESCRIPTORS,
        timeout=30,
        engine="rie",
        env={
            "RESILIENT_HANDLER": "analyse.analyse",
            "RESILIENT_OWN_TMP": "1",
            "DOCUMENTS_BUCKET": "documents",
            "OCR_URL": ocr,
            "OCR_TIMEOUT_SECONDS": "5",
            "AWS_ENDPOINT_URL": bucket,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
    )


def first_failure(lambda_: ExecutionEnvironment, *, within: int) -> int | None:
    """The number of the first page that fails, or None."""
    for number in range(1, within + 1):
        reply = lambda_.invoke({"object": {"key": f"pages/invoices-01/{number:05}.pdf"}})
        if reply.error is not None:
            return number
        assert reply.value["page"] == number
    return None


def test_without_us_the_library_ends_an_environment(bucket: str, ocr: str) -> None:
    """Two descriptors a page: before the 512th page nothing can be opened any more."""
    with environment(bucket, ocr, with_us=False) as bare:
        failed = first_failure(bare, within=DESCRIPTORS // PER_PAGE)
    assert failed is not None
    assert failed > DESCRIPTORS // PER_PAGE - 20


@pytest.mark.timeout(300)
def test_with_us_pages_go_on_for_as_long_as_they_come(bucket: str, ocr: str) -> None:
    """Of 1,200 pages, more than twice as many as fit, none fails, and every cure is told."""
    with environment(bucket, ocr, with_us=True) as healed:
        assert first_failure(healed, within=PAGES) is None
        assert healed.restarts == 0
        told = [record["status"] for record in healed.records()]
    assert told.count("COMPLETED") == PAGES
    assert told.count("RECYCLED") == healed.recycles
    assert healed.recycles >= PAGES * PER_PAGE // DESCRIPTORS
