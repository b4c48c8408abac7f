"""What every benchmark gives back, and how it is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Result", "Table"]

Figure = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of figures for people; the first column is text."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Figure]]

    def __str__(self) -> str:
        """The table as text, its numbers under each other."""
        cells = [[_cell(value) for value in row] for row in (self.heads, *self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.heads))]
        lines = [
            "  ".join(
                text.ljust(width) if column == 0 else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join([self.title, lines[0], "-" * len(lines[0]), *lines[1:], ""])


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures of one benchmark, the bound that each should keep, and whether all do.

    :param name: the benchmark's name
    :param figures: what was measured; keys stay the same from version to version
    :param goal: for some of the figures, the largest value that is good enough
    :param tables: the same and more, for people
    """

    name: str
    figures: Mapping[str, Figure | Mapping[str, Figure]]
    goal: Mapping[str, float]
    tables: Sequence[Table] = ()

    @property
    def met(self) -> bool:
        """Whether every figure with a goal was measured and keeps to it."""
        measured = {key: self.figures.get(key) for key in self.goal}
        return all(
            isinstance(value, int | float) and value <= self.goal[key] for key, value in measured.items()
        )

    def to_json(self) -> str:
        """One line: name, figures, goal, met."""
        fields = {"name": self.name, "figures": self.figures, "goal": self.goal, "met": self.met}
        return json.dumps(fields, separators=(",", ":"))


def _cell(value: Figure) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4f}" if value < 1 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
