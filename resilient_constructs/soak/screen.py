"""What one sees while it runs: a live panel on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .judging import use_of
from .story import RESOURCES, Progress, ResourceName, Story, amount
from .words import NAMES, culprit_line, engine_line, resource_row, verdict

__all__ = ["Screen"]

_BARS = " ▁▂▃▄▅▆▇█"
_POINTS = 60
_LINE_EVERY = 5.0
_LOOK_EVERY = 0.05


class Screen:
    """Shows progress and the verdict; ``with`` gives the terminal back in order.

    :param console: where to print; not a terminal: one plain line every five seconds
    :param limits: the most of each resource
    """

    def __init__(self, console: Console, limits: Mapping[ResourceName, float]) -> None:
        self.console = console
        self._limits = limits
        self._live: Live | None = None
        self._series: dict[ResourceName, list[int]] = {name: [] for name in RESOURCES}
        self._phase = ""
        self._began = time.monotonic()
        self._last_look = 0.0
        self._last_line = self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle()

    def show(self, now: Progress) -> None:
        """Show how far it is; call it after every invocation."""
        moment = time.monotonic()
        if now.phase != self._phase:
            self._phase, self._last_look = now.phase, 0.0
            self._series = {name: [] for name in RESOURCES}
        if moment - self._last_look < _LOOK_EVERY and now.done < now.wanted:
            return
        self._last_look = moment
        for name in RESOURCES:
            self._series[name].append(use_of(now.last.figures, name) or 0)
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=8)
                self._live.start()
            self._live.update(self._panel(now))
        elif moment - self._last_line >= _LINE_EVERY:
            self._last_line = moment
            uses = ", ".join(f"{NAMES[name]} {amount(name, self._series[name][-1])}" for name in RESOURCES)
            self.console.print(
                f"  {now.phase}: {now.done:,}/{now.wanted:,}, {uses}", highlight=False, soft_wrap=True
            )

    def tell(self, story: Story) -> None:
        """Print the verdict, the resources and the culprits."""
        self._settle()
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("")
        for title in ("first", "last", "most", "limit", "per invocation"):
            table.add_column(title, justify="right")
        for resource in story.resources.values():
            style = "bold red" if resource.outlook.leaks else ""
            table.add_row(*resource_row(resource), style=style)
        self.console.print(table)
        if story.culprits:
            self.console.print(
                f"left behind in {story.explained_in:,} invocations of a second run:", highlight=False
            )
            for culprit in story.culprits:
                self.console.print(
                    Text(f"  {culprit_line(culprit)}", style="yellow"), highlight=False, soft_wrap=True
                )
        for note in story.notes:
            self.console.print(Text(f"note: {note}", style="cyan"), soft_wrap=True)
        if story.error is not None:
            said = Text(f"{story.error.type}: {story.error.message}\n{''.join(story.error.stack)}".rstrip())
            self.console.print(said, soft_wrap=True)
        headline, rest = verdict(story)
        self.console.print(
            Text(f"{headline}: {rest}", style="bold green" if story.clean else "bold red"), soft_wrap=True
        )
        self.console.print(Text(engine_line(story), style="dim"), soft_wrap=True)

    def _settle(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _panel(self, now: Progress) -> Panel:
        grid = Table.grid(padding=(0, 2))
        for justify in ("left", "right", "left", "left"):
            grid.add_column(justify=justify)
        for name in RESOURCES:
            series, limit = self._series[name], self._limits[name]
            share = series[-1] / limit
            style = "red" if share > 0.8 else "yellow" if share > 0.5 else "green"
            grid.add_row(
                Text(NAMES[name], style="dim"),
                Text(amount(name, series[-1]), style=f"bold {style}"),
                Text(f"of {amount(name, limit)}", style="dim"),
                Text(_sparkline(series), style="cyan"),
            )
        bar = ProgressBar(total=now.wanted, completed=now.done, width=60)
        elapsed = time.monotonic() - self._began
        title = f"{now.phase} · {now.done:,} of {now.wanted:,} invocations · {elapsed:.0f} s"
        return Panel(Group(grid, bar), title=title, title_align="left")


def _sparkline(series: list[int]) -> str:
    """The series from its lowest to its highest value, thinned out to what fits."""
    step = max(1, len(series) // _POINTS)
    points = series[::step][-_POINTS:]
    low, high = min(points), max(points)
    span = (high - low) or 1
    return "".join(_BARS[1 + (point - low) * (len(_BARS) - 2) // span] for point in points)
