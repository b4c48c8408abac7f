"""The documents example on the local AWS: PDFs in lumps, an outage, a leak, and every page accounted for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from sizes import sized

from examples.load.documents.account import Account
from examples.load.documents.ocr import OcrServer
from examples.load.documents.run import STACK, Story, Wishes, drive
from examples.load.documents.screen import Screen
from resilient_constructs.local import Deployment, LocalAws, deploy
from resilient_constructs.local.permissions import prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.timeout(480)]

REPOSITORY = Path(__file__).parents[2]
WISHES = Wishes(
    documents=sized(20, 8), pages=sized(400, 80), in_lumps=4, pause=2.0, outage=8.0, patience=330.0
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was deployed, what happened, and what was seen of it."""

    deployment: Deployment
    ocr: OcrServer
    story: Story
    screen: str

    @property
    def account(self) -> Account:
        """What became of every document."""
        return self.story.account


@pytest.fixture(scope="module")
def run(local_aws: LocalAws) -> Iterator[Run]:
    """PDFs with hundreds of pages together, one of them poison, and one that is cut off."""
    written = io.StringIO()
    with OcrServer(requests_per_second=WISHES.ocr_rate) as ocr, Screen(Console(file=written)) as screen:
        deployment = deploy(
            local_aws,
            stacks=[STACK],
            cwd=REPOSITORY,
            context={"ocr-url": ocr.url, **WISHES.context},
        )
        story = drive(deployment, ocr, WISHES, screen)
        screen.account(story.account)
        yield Run(deployment=deployment, ocr=ocr, story=story, screen=written.getvalue())


def test_all_pages_but_the_poison_are_done_and_the_rest_is_explained(run: Run) -> None:
    """All pages have their own text as result but one, which has a reason; so has the PDF that is cut off."""
    assert run.account.sentence() == (
        f"{WISHES.pages} pages = {WISHES.pages - 1} done + 1 explained; "
        f"{WISHES.documents} documents, 1 of them refused with a reason"
    )
    assert run.account.balanced
    (poison,) = [fate for fate in run.account.fates if fate.pages is not None and fate.explained]
    assert all("pixels" in why for why in poison.explained.values())
    (refused,) = [fate for fate in run.account.fates if fate.pages is None]
    assert refused.explained[0] == f"incoming/{refused.name}.pdf cannot be split: EOF marker not found"


def test_dead_letters_name_the_document_the_page_and_the_execution(run: Run) -> None:
    """There are two, and each says what would otherwise have to be searched for."""
    (poison,) = [fate for fate in run.account.fates if fate.pages is not None and fate.explained]
    (page,) = poison.explained
    texts = {letter.queue.removesuffix(letter.queue[-8:]): letter.text for letter in run.account.letters}
    assert set(texts) == {"AnalyseDeadLetterQueue", "SplitDeadLetterQueue"}
    assert f"page {page} of {poison.name}-" in texts["AnalyseDeadLetterQueue"]
    assert ":execution:" in texts["AnalyseDeadLetterQueue"]
    assert "cannot be split: EOF marker not found" in texts["SplitDeadLetterQueue"]


def test_an_outage_costs_time_and_no_page(run: Run) -> None:
    """The OCR service was down while pages were read; none of them is among those without a result."""
    assert run.ocr.answers[503] > 0
    assert run.account.explained == 1


def test_progress_is_seen_while_it_is_made(run: Run) -> None:
    """Pages done only ever grow, are seen many times on the way, and stand on the screen."""
    done = [standing.done for standing in run.story.standings]
    assert done == sorted(done)
    assert len(set(done)) > sized(10, 5)
    assert run.story.standings[-1].finished == WISHES.documents
    assert f"pages {WISHES.pages}: done" in run.screen
    assert f"{WISHES.pages - 1} done + 1 explained" in run.screen


def test_no_grant_is_missing(run: Run) -> None:
    """Whatever the functions, the workflow and the rules called, their policies allow."""
    assert prove(run.deployment.aws, [STACK]).denied == ()
