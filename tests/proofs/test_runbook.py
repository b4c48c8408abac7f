"""Whoever is woken by an alarm finds its heading in the runbook."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from resilient_constructs.monitoring import alarms

REPOSITORY = Path(__file__).parents[2]


def signal_names() -> set[str]:
    """The name of every ``Signal`` that a room writes down, read from its source."""
    found = set()
    for path in (REPOSITORY / "resilient_constructs").glob("*/*signals.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Signal":
                (name,) = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
                assert isinstance(name, ast.Constant), f"{path}: a signal's name is not written out"
                found.add(str(name.value))
    return found


def headings() -> list[str]:
    """The anchors that the documentation's Markdown gives to the runbook's third-level headings."""
    titles = re.findall(r"^### (.+)$", (REPOSITORY / "docs" / "runbook.md").read_text(), re.MULTILINE)
    return [re.sub(r"[^\w]+", "-", title.lower()).strip("-") for title in titles]


def test_every_signal_has_its_heading_and_every_heading_its_signal() -> None:
    """The runbook's headings are exactly the anchors that the alarms' texts end in, each once."""
    assert len(signal_names()) > 15
    assert sorted(headings()) == sorted(alarms._anchor(name) for name in signal_names())
