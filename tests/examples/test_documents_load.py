"""The documents example's handlers against an S3 and a DynamoDB in memory, with PDFs that it makes itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resilient_runtime import Call

from examples.load.documents.pdfs import batch, lumps

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers" / "documents"
MODULES = ("split", "analyse", "collect", "places", "leaky_images")
BUCKET, TABLE = "documents", "progress"
CALL = Call()


@given(
    documents=st.integers(2, 30),
    pages=st.integers(30, 400),
    seed=st.integers(0, 99),
    count=st.integers(1, 40),
)
@settings(max_examples=50, deadline=None)
def test_a_batch_has_the_pages_that_were_asked_for(documents: int, pages: int, seed: int, count: int) -> None:
    """So many documents and readable pages, one truncated, one poison; in lumps, and in the same order."""
    made = batch(documents=documents, pages=pages, seed=seed)
    assert len({document.name for document in made}) == documents
    assert sum(document.pages for document in made if not document.truncated) == pages
    assert sum(len(document.poison) for document in made) == 1
    assert [one for lump in lumps(made, count, seed=seed) for one in lump] == list(made)


def test_a_batch_without_a_page_for_each_document_is_refused() -> None:
    """The error says what is allowed."""
    with pytest.raises(ValueError, match="a page for each"):
        batch(documents=5, pages=3)
