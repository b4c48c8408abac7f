"""What one sees while it runs: a live panel on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .courier import Outcome
from .ledger import Fate
from .story import Story

__all__ = ["Screen", "Standing"]

_BARS = " ▁▂▃▄▅▆▇█"
_LINE_EVERY = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How things stand at one moment.

    :param phase: what is going on
    :param elapsed: seconds since the first request
    :param planned: how many requests there will be
    :param sent: how many have been answered
    :param accepted: how many with 202
    :param rejected: how many were refused at the door
    :param delivered: orders the courier has delivered
    :param visible: messages to be received
    :param in_flight: messages being worked on, or waiting to come back
    :param dead: messages in dead-letter queues
    :param courier_down: whether the outage is on
    :param feeding: how the consumer is fed, empty where nobody pauses it
    """

    phase: str
    elapsed: float
    planned: int
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    visible: int = 0
    in_flight: int = 0
    dead: int = 0
    courier_down: bool = False
    feeding: str = ""


class Screen:
    """Shows steps, standings and the ledger; ``with`` gives the terminal back in order.

    :param console: where to print; not a terminal: one plain line every five seconds
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._waiting: deque[int] = deque(maxlen=48)
        self._last_line = 0.0
        self._last_sample = 0.0

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

    def show(self, now: Standing) -> None:
        """Show how things stand; call it as often as you like."""
        if time.monotonic() - self._last_sample >= 1:
            self._last_sample = time.monotonic()
            self._waiting.append(now.visible + now.in_flight)
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4)
                self._live.start()
            self._live.update(self._panel(now))
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(_line(now), highlight=False, soft_wrap=True)

    def _panel(self, now: Standing) -> Panel:
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(justify="left")
        grid.add_row(
            _figure("sent", f"{now.sent}/{now.planned}"),
            _figure("accepted", now.accepted, "green"),
            _figure("rejected at the door", now.rejected, "yellow" if now.rejected else ""),
            _figure("delivered", now.delivered, "green"),
        )
        grid.add_row(
            _figure("in the queue", now.visible, "cyan"),
            _figure("under way or to come back", now.in_flight, "cyan"),
            _figure("dead-lettered", now.dead, "yellow" if now.dead else ""),
            Text("courier DOWN", style="bold white on red")
            if now.courier_down
            else Text("courier up", style="green"),
        )
        if now.feeding:
            style = "bold yellow" if now.feeding == "paused" else "dim"
            grid.add_row("", "", "", Text(f"queue {now.feeding}", style=style))
        depth = Text.assemble(("waiting ", "dim"), (sparkline(list(self._waiting)), "cyan"))
        return Panel(Group(grid, depth), title=f"{now.phase} · {now.elapsed:.0f} s", title_align="left")

    def ledger(self, story: Story) -> None:
        """Print the account and the verdict."""
        self.settle()
        ledger = story.ledger
        table = Table(title="Ledger", title_style="bold", title_justify="left", min_width=46)
        table.add_column("")
        table.add_column("messages", justify="right")
        table.add_row("accepted", f"{ledger.accepted}", style="bold")
        for fate in Fate:
            table.add_row(
                f"  {fate.value}",
                f"{ledger.count(fate)}",
                style="red" if fate is Fate.LOST and ledger.lost else "",
            )
        table.add_section()
        table.add_row("duplicates", f"{ledger.duplicates}")
        by_status = ", ".join(f"{status}: {count}" for status, count in ledger.rejected.items())
        table.add_row(
            f"rejected at the door{f' ({by_status})' if by_status else ''}", f"{ledger.rejected_at_the_door}"
        )
        table.add_row("unanswered, and nowhere", f"{len(ledger.unanswered)}")
        self.console.print(table)
        outcomes = ", ".join(
            f"{story.outcomes[outcome]} {outcome.value}" for outcome in Outcome if story.outcomes[outcome]
        )
        self.console.print(f"courier calls: {outcomes or 'none'}", highlight=False, soft_wrap=True)
        for note in ledger.discrepancies:
            self.console.print(Text(f"discrepancy: {note}", style="red"))
        for key in ledger.ids(Fate.LOST):
            self.console.print(Text(f"lost: {key}", style="red"))
        self.console.print(
            Text(verdict(story), style="bold green" if ledger.balanced else "bold red"), soft_wrap=True
        )


def verdict(story: Story) -> str:
    """The run in one sentence."""
    ledger = story.ledger
    parts = " + ".join(f"{ledger.count(fate)} {fate.value}" for fate in Fate if fate is not Fate.LOST)
    sum_of_it = (
        f"{ledger.accepted} accepted = {parts}"
        if not ledger.lost
        else f"{ledger.accepted} accepted ≠ {parts}"
    )
    odd = f"; {len(ledger.discrepancies)} discrepancies" if ledger.discrepancies else ""
    return f"{ledger.lost} lost: {sum_of_it}{odd}"


def sparkline(values: list[int]) -> str:
    """The values as a row of bars, the highest one full."""
    top = max(values, default=0) or 1
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // top)] for value in values)


def _figure(name: str, value: int | str, style: str = "") -> Text:
    return Text.assemble((f"{value} ", f"bold {style}".strip()), (name, "dim"))


def _line(now: Standing) -> str:
    return (
        f"  {now.elapsed:4.0f} s  {now.phase}: sent {now.sent}/{now.planned}, accepted {now.accepted}, "
        f"rejected {now.rejected}, delivered {now.delivered}, queue {now.visible}+{now.in_flight}, "
        f"dead {now.dead}, courier {'DOWN' if now.courier_down else 'up'}"
        + (f", {now.feeding}" if now.feeding else "")
    )
