"""Where everything lies in the bucket: a page's name is its identity, from the split to the manifest."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

INCOMING = "incoming/"


class Page(NamedTuple):
    """One page of one document; pages count from 1.

    :param document: ``document_of`` the object that arrived
    :param number: its number
    """

    document: str
    number: int

    @property
    def key(self) -> str:
        """The page alone, as a PDF; that it is stored is the order to analyse it."""
        return f"pages/{self.document}/{self.number:05}.pdf"

    @property
    def result_key(self) -> str:
        """What the analysis found."""
        return f"results/{self.document}/{self.number:05}.json"

    @property
    def given_up_key(self) -> str:
        """Why there will be no result."""
        return f"given-up/{self.document}/{self.number:05}.json"


def document_of(key: str, etag: str) -> str:
    """The document's name: its path without ``incoming/`` and ``.pdf``, and a word of its content's hash.

    Another content under the same key is thus another document, and the same event delivered twice is not.
    """
    return f"{key.removeprefix(INCOMING).removesuffix('.pdf')}-{etag.strip(chr(34))[:8]}"


def page_of(key: str) -> Page:
    """The page that an object below ``pages/``, ``results/`` or ``given-up/`` belongs to."""
    document, _, name = key.partition("/")[2].rpartition("/")
    return Page(document, int(PurePosixPath(name).stem))


def manifest_key(document: str) -> str:
    """What became of all pages of a document; written when the last of them has ended."""
    return f"manifests/{document}.json"
