"""One run from its first process to its last: deploy, upload in lumps, watch, count."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from resilient_constructs.local import Deployment, LocalAws, deploy

from .account import Account, account
from .ocr import OcrServer
from .pdfs import batch, lumps
from .screen import Screen
from .watch import Standing, Watch

__all__ = ["Story", "Wishes", "drive", "run"]

STACK = "Documents"
_LOOK_EVERY = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a run is to be like.

    :param documents: how many PDFs, the truncated one among them
    :param pages: of all that are whole
    :param in_lumps: in how many lumps they arrive
    :param pause: seconds between two lumps, on average
    :param ocr_rate: calls per second that the OCR service takes
    :param outage: seconds for which it is down, from the first result on
    :param patience: seconds to wait for the last manifest after the last upload
    :param seed: makes documents and lumps repeatable
    :param directory: where ``examples/app.py`` is. Default: the current directory
    """

    documents: int = 20
    pages: int = 400
    in_lumps: int = 4
    pause: float = 3.0
    ocr_rate: float = 10.0
    outage: float = 10.0
    patience: float = 300.0
    seed: int = 7
    directory: Path = field(default_factory=Path.cwd)

    @property
    def context(self) -> Mapping[str, str]:
        """The CDK context that fits the stack to this OCR service."""
        return {"ocr-rate": f"{self.ocr_rate:g}", "ocr-latency-ms": "300", "ocr-timeout-ms": "2000"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What happened.

    :param account: what became of every document
    :param standings: what was seen on the way
    :param seconds: from the first upload to the last manifest
    """

    account: Account
    standings: tuple[Standing, ...]
    seconds: float


def run(wishes: Wishes, screen: Screen) -> Story:
    """Start everything, drive it, and leave no process behind.

    :raises LocalAwsError: when the local AWS cannot start, or the deployment fails
    """
    with ExitStack() as stack:
        screen.step("starting the OCR service and the local AWS")
        ocr = stack.enter_context(OcrServer(requests_per_second=wishes.ocr_rate))
        aws = stack.enter_context(LocalAws())
        screen.step(f"cdk deploy {STACK}")
        deployment = deploy(
            aws, stacks=[STACK], cwd=wishes.directory, context={"ocr-url": ocr.url, **wishes.context}
        )
        return drive(deployment, ocr, wishes, screen)


def drive(deployment: Deployment, ocr: OcrServer, wishes: Wishes, screen: Screen) -> Story:
    """Upload documents in lumps, take the OCR service down for a while, and wait for every manifest."""
    aws, bucket = deployment.aws, deployment.output("Bucket")
    watch = Watch(aws.client, stack=STACK, bucket=bucket, table=deployment.output("Table"))
    documents = batch(documents=wishes.documents, pages=wishes.pages, seed=wishes.seed)
    sent: list[str] = []

    def upload() -> None:
        s3, dice = aws.client("s3"), random.Random(wishes.seed)
        for number, lump in enumerate(lumps(documents, wishes.in_lumps, seed=wishes.seed)):
            if number:
                time.sleep(dice.uniform(0.5, 1.5) * wishes.pause)
            for document in lump:
                s3.put_object(Bucket=bucket, Key=f"incoming/{document.name}.pdf", Body=document.content())
                sent.append(document.name)

    screen.step(f"{wishes.documents} PDFs, {wishes.pages} pages, in {wishes.in_lumps} lumps")
    uploading = threading.Thread(target=upload, name="upload", daemon=True)
    uploading.start()
    begun, standings = time.monotonic(), [watch.standing()]
    down_until: float | None = None
    while standings[-1].finished < len(documents):
        elapsed = time.monotonic() - begun
        if not uploading.is_alive() and (len(sent) < len(documents) or elapsed > wishes.patience):
            break
        if down_until is None and wishes.outage and standings[-1].done:
            down_until = elapsed + wishes.outage
        ocr.is_down = down_until is not None and elapsed < down_until
        screen.show(standings[-1], sent=len(sent), of=len(documents), elapsed=elapsed, ocr_down=ocr.is_down)
        time.sleep(_LOOK_EVERY)
        standings.append(watch.standing())
    seconds = time.monotonic() - begun
    screen.settle()
    screen.step(
        f"counting, after {seconds:.0f} s; the OCR service answered {dict(sorted(ocr.answers.items()))}"
    )
    return Story(account=account(watch, documents), standings=tuple(standings), seconds=seconds)
