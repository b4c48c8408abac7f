"""Whether every page that arrived was done or explained, from the results and not from any counter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .pdfs import Document, text_of
from .watch import Letter, Watch

__all__ = ["Account", "Fate", "account"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one document.

    :param name: its name
    :param pages: how many it has; None where nobody could open it
    :param done: pages whose result is there and is that page's
    :param explained: why the others have none, by page; by 0 where the document itself was refused
    :param letters: how many dead letters name it
    :param wrong: results that are another page's
    """

    name: str
    pages: int | None
    done: int = 0
    explained: dict[int, str] = field(default_factory=dict)
    letters: int = 0
    wrong: int = 0

    @property
    def missing(self) -> int:
        """Pages without a result and without an explanation; 1 where a whole document has none."""
        if self.pages is None:
            return 0 if self.explained else 1
        return self.pages - self.done - len(self.explained)

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing or wrong, and whatever has no result left a dead letter."""
        return not self.missing and not self.wrong and self.letters == len(self.explained)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What became of all of them.

    :param fates: one for each document
    :param letters: every dead letter
    """

    fates: tuple[Fate, ...]
    letters: tuple[Letter, ...]

    @property
    def pages(self) -> int:
        """Pages of the documents that could be opened."""
        return sum(fate.pages or 0 for fate in self.fates)

    @property
    def done(self) -> int:
        """Pages with a result."""
        return sum(fate.done for fate in self.fates)

    @property
    def explained(self) -> int:
        """Pages without one, and why."""
        return sum(len(fate.explained) for fate in self.fates if fate.pages is not None)

    @property
    def refused(self) -> int:
        """Documents that nobody could open, and why."""
        return sum(1 for fate in self.fates if fate.pages is None and fate.explained)

    @property
    def balanced(self) -> bool:
        """Whether accepted = done + explained, document by document."""
        return all(fate.balanced for fate in self.fates)

    def sentence(self) -> str:
        """The account in one line."""
        sign = "=" if self.balanced else "≠"
        return (
            f"{self.pages} pages {sign} {self.done} done + {self.explained} explained; "
            f"{len(self.fates)} documents, {self.refused} of them refused with a reason"
        )


def account(watch: Watch, documents: Sequence[Document]) -> Account:
    """Compare what was sent with what is there."""
    letters = watch.letters()
    manifests = {manifest["source"]: manifest for manifest in map(watch.read, watch.keys("manifests/"))}
    fates = []
    for document in documents:
        key = f"incoming/{document.name}.pdf"
        manifest = manifests.get(key, {"pages": None})
        naming = sum(1 for letter in letters if document.name in letter.text)
        if manifest["pages"] is None:
            explained = {0: str(manifest["refused"])} if "refused" in manifest else {}
            pages = None if document.truncated else document.pages
            fates.append(Fate(name=document.name, pages=pages, explained=explained, letters=naming))
            continue
        results = [watch.read(each) for each in watch.keys(manifest["results"])]
        right = [one for one in results if one["texts"] == [text_of(document.name, one["page"])]]
        fates.append(
            Fate(
                name=document.name,
                pages=document.pages,
                done=len(right),
                explained={one["page"]: one["reason"] for one in manifest["given_up"]},
                letters=naming,
                wrong=len(results) - len(right),
            )
        )
    return Account(fates=tuple(fates), letters=tuple(letters))
