"""A workflow on the local AWS: an outage, killed processes, and every work accounted for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from answering import answering
from deaths import kill
from deployed import Deployed
from sizes import sized

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Pages"
PATIENCE = 400.0
PAGES = sized(500, 100)
POISON = 422


@dataclass
class Ocr:
    """Answers 200, or 503 while it is down; refuses what is poison; remembers."""

    is_down: bool = False
    poison: set[str] = field(default_factory=set)
    read: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    url: str = ""

    def answer(self, page: str) -> int:
        """The status for one call."""
        if self.is_down:
            self.refused += 1
            return 503
        if page in self.poison:
            return POISON
        self.read[page] += 1
        return 200


@pytest.fixture(scope="module")
def ocr() -> Iterator[Ocr]:
    """A service on a free port."""
    ocr = Ocr()
    with answering(ocr.answer) as port:
        ocr.url = f"http://127.0.0.1:{port}"
        yield ocr


@dataclass(frozen=True, kw_only=True)
class Pages(Deployed):
    """The deployed app."""

    stack = STACK

    @property
    def machine(self) -> str:
        """The state machine's ARN."""
        return self.made("AWS::StepFunctions::StateMachine")

    def send(self, pages: range, **more: Any) -> None:
        """Put pages into the work queue, each with its number as its idempotency key."""
        url = self.made("AWS::SQS::Queue", "Work")
        for first in range(pages.start, pages.stop, 10):
            entries = [
                {
                    "Id": str(page),
                    "MessageBody": json.dumps({"page": str(page), **more}),
                    "MessageAttributes": {
                        "idempotency_key": {"DataType": "String", "StringValue": f"page-{page}"}
                    },
                }
                for page in range(first, min(first + 10, pages.stop))
            ]
            self.aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)

    def waiting(self, begins: str) -> int:
        """How many messages a queue holds, seen or not."""
        url = self.made("AWS::SQS::Queue", begins)
        found = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return sum(int(value) for name, value in found["Attributes"].items() if name.startswith("Approx"))

    def executions(self) -> list[dict[str, Any]]:
        """All of them, whatever became of them."""
        pages = self.aws.client("stepfunctions").get_paginator("list_executions")
        return [
            dict(one) for page in pages.paginate(stateMachineArn=self.machine) for one in page["executions"]
        ]

    def is_quiet(self) -> bool:
        """Nothing waits and nothing runs."""
        return (
            self.waiting("Work") == 0
            and self.waiting("Parked") == 0
            and all(one["status"] != "RUNNING" for one in self.executions())
        )

    def outcomes(self) -> dict[str, str]:
        """What became of each page in the end: its last execution's status and outcome."""
        states = self.aws.client("stepfunctions")
        last: dict[str, tuple[float, str]] = {}
        for one in self.executions():
            told = states.describe_execution(executionArn=one["executionArn"])
            given = json.loads(told["input"])
            work = given["input"] if "resilient" in given else given
            if work is None:
                # It lies in the bucket; its execution has its name.
                work = {"page": one["name"].removeprefix("page-")}
            page = work["page"]
            parked = "PARKED" in (told.get("output") or "")
            outcome = "PARKED" if parked else f"{told['status']} {told.get('error') or ''}".strip()
            at = told["startDate"].timestamp()
            if page not in last or at > last[page][0]:
                last[page] = (at, outcome)
        return {page: outcome for page, (_, outcome) in last.items()}

    def dead_letters(self) -> list[dict[str, Any]]:
        """All of them; they stay invisible for a while."""
        client, found = self.aws.client("sqs"), []
        url = self.made("AWS::SQS::Queue", "AnalyseDeadLetterQueue")
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(one["Body"]) for one in messages]
        return found


@pytest.fixture(scope="module")
def pages(local_aws: LocalAws, ocr: Ocr) -> Pages:
    """The app, deployed."""
    return Pages(
        deployment=deploy(
            local_aws,
            app="python tests/breaker_workflow/accepting_app/app.py",
            cwd=REPOSITORY,
            context={"ocr_url": ocr.url},
        )
    )


def wait_for(what: str, done: Callable[[], bool]) -> None:
    """Wait until it is so."""
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.2)


def test_every_page_is_read_once_started_once(pages: Pages, ocr: Ocr) -> None:
    """Also one that is sent twice, and one that is too large for an execution; and no grant is missing."""
    pages.send(range(10))
    pages.send(range(10))
    pages.send(range(10, 11), text="x" * 400_000)
    wait_for("all pages", lambda: len(ocr.read) == 11)
    wait_for("quiet", pages.is_quiet)
    assert set(ocr.read.values()) == {1}
    states = pages.aws.client("stepfunctions")
    large = next(one for one in pages.executions() if one["name"] == "page-10")
    told = states.describe_execution(executionArn=large["executionArn"])
    assert json.loads(told["output"]) == {"page": "10", "letters": 400_000}
    assert "claim" in json.loads(told["input"])["resilient"]
    assert prove(pages.aws, [STACK]).denied == ()


def test_nothing_is_lost_when_processes_die_in_an_outage(pages: Pages, ocr: Ocr) -> None:
    """Hundreds of pages, an outage, and all processes killed four times: each is read, or dead-lettered."""
    ocr.read.clear()
    ocr.poison = {"1003", str(1000 + PAGES - 96)}
    pages.send(range(1000, 1000 + PAGES))
    wait_for("the first pages", lambda: len(ocr.read) > PAGES // 10)
    killed = kill(pages.aws)
    ocr.is_down = True
    wait_for("calls into the outage", lambda: ocr.refused >= 4)
    killed += kill(pages.aws)
    wait_for("parked work", lambda: pages.waiting("Parked") > 0)
    killed += kill(pages.aws)
    time.sleep(5)
    ocr.is_down = False
    wait_for("most pages", lambda: len(ocr.read) > PAGES * 2 // 5)
    killed += kill(pages.aws)
    wait_for("quiet", pages.is_quiet)
    assert killed >= 8
    became = {page: told for page, told in pages.outcomes().items() if int(page) >= 1000}
    letters = pages.dead_letters()
    assert len(became) == PAGES
    failed = {page for page, told in became.items() if told.startswith("FAILED")}
    # Nothing is parked or running any more; who did not succeed is in the dead-letter queue.
    assert all(told == "SUCCEEDED" for page, told in became.items() if page not in failed)
    assert {one["input"]["page"] for one in letters} == failed
    assert ocr.poison <= failed
    assert len(failed) < 50
    assert not set(ocr.read) & ocr.poison
