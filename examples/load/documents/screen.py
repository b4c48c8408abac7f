"""What one sees while the documents are read: a live panel on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .account import Account
from .watch import Standing

__all__ = ["Screen"]

_LINE_EVERY = 5.0


class Screen:
    """Shows steps, standings and the account; ``with`` gives the terminal back in order.

    :param console: where to print; not a terminal: one plain line every five seconds
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._last_line = 0.0

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """End the live panel; its last state stays on the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, text: str) -> None:
        """Say what begins now."""
        self.console.print(Text.assemble(("▸ ", "bold cyan"), text), highlight=False)

    def show(self, now: Standing, *, sent: int, of: int, elapsed: float, ocr_down: bool) -> None:
        """Show how things stand; call it as often as you like.

        :param sent: documents that were uploaded
        :param of: documents that there will be
        """
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4)
                self._live.start()
            self._live.update(_panel(now, sent, of, elapsed, ocr_down=ocr_down))
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(
                _line(now, sent, of, elapsed, ocr_down=ocr_down), highlight=False, soft_wrap=True
            )

    def account(self, account: Account) -> None:
        """Print what became of every document, and the verdict."""
        self.settle()
        table = Table(title="What became of them", title_style="bold", title_justify="left")
        for name in ("document", "pages", "done", "explained", "dead letters"):
            table.add_column(name, justify="left" if name == "document" else "right")
        for fate in sorted(account.fates, key=lambda fate: fate.name):
            table.add_row(
                fate.name,
                "?" if fate.pages is None else f"{fate.pages}",
                f"{fate.done}",
                f"{len(fate.explained)}",
                f"{fate.letters}",
                style="" if fate.balanced else "red",
            )
        self.console.print(table)
        for fate in account.fates:
            for page, why in fate.explained.items():
                where = f"{fate.name}, page {page}" if page else fate.name
                self.console.print(Text(f"{where}: {why}", style="yellow"), soft_wrap=True)
        verdict = "bold green" if account.balanced else "bold red"
        self.console.print(Text(account.sentence(), style=verdict), soft_wrap=True)


def _panel(now: Standing, sent: int, of: int, elapsed: float, *, ocr_down: bool) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        _figure("PDFs arrived", f"{sent}/{of}"),
        _figure("finished", now.finished, "green"),
        _figure("pages found", now.pages),
        Text("OCR DOWN", style="bold white on red") if ocr_down else Text("OCR up", style="green"),
    )
    grid.add_row(
        _figure("waiting", now.waiting, "cyan"),
        _figure("under way", now.under_way, "cyan"),
        _figure("parked", now.parked, "yellow" if now.parked else ""),
        _figure("given up", now.given_up, "yellow" if now.given_up else ""),
    )
    bar = ProgressBar(total=max(1, now.pages), completed=now.done + now.given_up)
    return Panel(
        Group(grid, _figure("pages done", now.done, "green"), bar),
        title=f"{elapsed:.0f} s",
        title_align="left",
    )


def _figure(name: str, value: int | str, style: str = "") -> Text:
    return Text.assemble((f"{value} ", f"bold {style}".strip()), (name, "dim"))


def _line(now: Standing, sent: int, of: int, elapsed: float, *, ocr_down: bool) -> str:
    return (
        f"  {elapsed:4.0f} s  PDFs {sent}/{of}, finished {now.finished}; pages {now.pages}: done {now.done}, "
        f"given up {now.given_up}, waiting {now.waiting}, under way {now.under_way}, parked {now.parked}; "
        f"OCR {'DOWN' if ocr_down else 'up'}"
    )
