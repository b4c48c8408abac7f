"""``python -m examples.load.documents``: the documents example on the local AWS, with real PDFs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from resilient_constructs.local import LocalAwsError

from .run import Wishes, run
from .screen import Screen

_NOT_BALANCED = 1
_CANNOT_GO_ON = 3


def main(
    documents: Annotated[int, typer.Option(help="How many PDFs; one of them is cut off.")] = 20,
    pages: Annotated[int, typer.Option(help="Pages of all the others; one of them is poison.")] = 400,
    lumps: Annotated[int, typer.Option(help="In how many lumps they arrive.")] = 4,
    ocr_rate: Annotated[float, typer.Option(help="Calls per second that the OCR service takes.")] = 10.0,
    outage: Annotated[float, typer.Option(help="Seconds for which the OCR service is down.")] = 10.0,
    patience: Annotated[float, typer.Option(help="Seconds to wait for the last manifest.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Repeats documents and lumps.")] = 7,
) -> None:
    """Deploy the documents example, upload PDFs in lumps, and account for every page.

    Exit code 0: every page is done or explained. 1: it is not. 3: it could not go on.
    """
    wishes = Wishes(
        documents=documents,
        pages=pages,
        in_lumps=lumps,
        ocr_rate=ocr_rate,
        outage=outage,
        patience=patience,
        seed=seed,
    )
    try:
        with Screen(Console(highlight=False)) as screen:
            story = run(wishes, screen)
            screen.account(story.account)
    except LocalAwsError as error:
        Console(stderr=True, highlight=False).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(_CANNOT_GO_ON) from error
    raise typer.Exit(0 if story.account.balanced else _NOT_BALANCED)


if __name__ == "__main__":
    typer.run(main)
