"""One self-contained HTML file: the verdict, the resources, the culprits and the pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from resilient_constructs import pages

from .plots import figure
from .story import Story
from .words import culprit_line, engine_line, resource_row, verdict

__all__ = ["render_report", "write_report"]


def write_report(story: Story, path: Path) -> None:
    """Write the report.

    :raises OSError: when the file cannot be written
    """
    pages.write(render_report(story), path)


def render_report(story: Story) -> str:
    """The report as HTML; plotly's script is in it, nothing is fetched."""
    headline, rest = verdict(story)
    kind = "verdict" if story.clean else "verdict bad"
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    left_behind = f"Left behind in {story.explained_in:,} invocations of a second run"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(headline)} · resilient soak</title><style>{style}</style></head><body>
<h1>{escape(story.handler)}, kept warm</h1>
<p class="lead">One execution environment, invoked {len(story.observations):,} times in a row with Lambda's
limits: {escape(engine_line(story))}.</p>
<div class="{kind}"><b>{escape(headline[0].upper() + headline[1:])}</b><span>{escape(rest)}</span></div>
{_resources(story)}
{_listed(left_behind, [culprit_line(one) for one in story.culprits])}
{_listed("To be known", story.notes)}
{_error(story)}
<section class="plots"><h2>Invocation by invocation</h2>{pages.embed(figure(story))}</section>
<footer>{_footer(story)}</footer>
</body></html>
"""


def _resources(story: Story) -> str:
    head = "".join(f"<th>{title}</th>" for title in ("", "first", "last", "most", "limit", "per invocation"))
    rows = []
    for resource in story.resources.values():
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in resource_row(resource))
        rows.append(f'<tr class="{"bad" if resource.outlook.leaks else ""}">{cells}</tr>')
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _listed(title: str, items: Sequence[str]) -> str:
    listed = pages.items(items)
    return f"<h2>{escape(title)}</h2>{listed}" if listed else ""


def _error(story: Story) -> str:
    if story.error is None:
        return ""
    said = f"{story.error.type}: {story.error.message}\n{''.join(story.error.stack)}".rstrip()
    return f"<h2>The failure</h2><pre>{escape(said)}</pre>"


def _footer(story: Story) -> str:
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    replaced = f" · {story.restarts:,} processes replaced, {story.recycles:,} recycled"
    return f"resilient soak · {made} · {story.seconds:.1f} s{replaced}"
