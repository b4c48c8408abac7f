"""One self-contained HTML file: the verdict, the ledger, the pictures, and what the local AWS does not do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

from resilient_constructs import pages

from .courier import Outcome
from .ledger import Fate
from .plots import figure
from .screen import verdict
from .story import Story, percentile

__all__ = ["render_report", "write_report"]

_LEAD = (
    "Orders came in over HTTP, were stored on a bus before the API answered 202, and went out from a queue "
    "to a courier that takes ten calls a second, fails one in five, and was down for a while. Its circuit "
    "then opened and paused the queue. This is what became of each order."
)
_FATES = {
    Fate.COMPLETED: "delivered once the courier took it, and recorded as such",
    Fate.DEAD_LETTERED: "kept whole in a dead-letter queue: poison, or tried too often",
    Fate.WAITING: "still in a queue, will be tried again",
    Fate.LOST: "accepted, and nobody can say where it is",
}


def write_report(story: Story, path: Path) -> None:
    """Write the report.

    :raises OSError: when the file cannot be written
    """
    pages.write(render_report(story), path)


def render_report(story: Story) -> str:
    """The report as HTML; plotly's script is in it, nothing is fetched."""
    ledger = story.ledger
    headline, _, rest = verdict(story).partition(": ")
    kind = "verdict" if ledger.balanced else "verdict bad"
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    wrong = (*ledger.discrepancies, *(f"{key} is lost" for key in ledger.ids(Fate.LOST)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(headline)} · resilient demo</title><style>{style}</style></head><body>
<h1>Nothing accepted may be lost</h1>
<p class="lead">{_LEAD}</p>
<div class="{kind}"><b>{escape(headline)}</b><span>{escape(rest)}</span></div>
{_tiles(story)}
<div class="two"><section><h2>Ledger</h2>{_ledger(story)}</section>
<section><h2>Courier calls</h2>{_calls(story)}</section></div>
{_listed("What does not add up", wrong)}
<section class="plots"><h2>What happened when</h2>{pages.embed(figure(story))}</section>
{_told(story)}
{_fidelity(story)}
<footer>{_footer(story)}</footer>
</body></html>
"""


def _tiles(story: Story) -> str:
    figures = (
        (f"{len(story.sent)}", "requests sent"),
        (f"{percentile(story.answer_times, 50) * 1000:.0f} ms", "until 202, median"),
        (f"{percentile(story.answer_times, 99) * 1000:.0f} ms", "until 202, 99th percentile"),
        (f"{percentile(story.delivery_times, 50):.1f} s", "from accepted to delivered, median"),
        (f"{max(story.delivery_times, default=0):.0f} s", "from accepted to delivered, longest"),
        (f"{story.deepest}", "messages waiting at most"),
    )
    tiles = (f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in figures)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _ledger(story: Story) -> str:
    ledger = story.ledger
    rows = [
        _row(fate.value, ledger.count(fate), _FATES[fate], "bad" if fate is Fate.LOST and ledger.lost else "")
        for fate in Fate
    ]
    rows.append(_row("accepted", ledger.accepted, "", "sum"))
    by_status = ", ".join(f"{count} × {status}" for status, count in ledger.rejected.items())
    rows.append(_row("rejected at the door", ledger.rejected_at_the_door, by_status))
    rows.append(_row("duplicates", ledger.duplicates, "worked on again after they had been completed"))
    rows.append(_row("unanswered", len(ledger.unanswered), "no answer, and nowhere: the client tries again"))
    return f"<table>{''.join(rows)}</table>"


def _calls(story: Story) -> str:
    notes = {
        Outcome.DELIVERED: "200, once for each order",
        Outcome.REPEATED: "200 from memory, by the idempotency key",
        Outcome.FAILED: "502, comes back after seconds",
        Outcome.REFUSED: "422, poison: dead-lettered at once with its reason",
        Outcome.THROTTLED: "429, above ten a second",
        Outcome.DOWN: "503, until the circuit opened, and to probe",
        Outcome.MISUSED: "400",
    }
    rows = [
        _row(outcome.value, story.outcomes[outcome], notes[outcome])
        for outcome in Outcome
        if story.outcomes[outcome]
    ]
    return f"<table>{''.join(rows)}{_row('calls', len(story.calls), '', 'sum')}</table>"


def _row(name: str, count: int, note: str, kind: str = "") -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    return f'<tr class="{kind}"><td>{escape(name)}{small}</td><td>{count:,}</td></tr>'


def _listed(title: str, items: Iterable[str], before: str = "") -> str:
    entries = pages.items(items)
    if not entries:
        return ""
    lead = f"<p>{escape(before)}</p>" if before else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{entries}</section>"


def _told(story: Story) -> str:
    changes, reason = [], ""
    for change in story.changes:
        # Half open keeps the reason that it was opened for.
        why = "" if change.reason == reason else f": {change.reason}"
        states = f"{_state(change.before)} → {_state(change.after)}"
        changes.append(f"{change.at - story.started:.1f} s: {change.downstream} {states}{why}")
        reason = change.reason
    before = f"Told as events on the account's bus. The queue was paused for {story.paused_seconds:.0f} s."
    return _listed("What the circuit told", changes, before)


def _state(name: str) -> str:
    return name.replace("_", " ").lower()


def _fidelity(story: Story) -> str:
    if not story.fidelity:
        none = "Nothing that the stack asks for is known to differ."
        return f"<section><h2>Not as on AWS</h2><p>{none}</p></section>"
    return _listed("Not as on AWS", story.fidelity, "What the stack asks for and the local AWS does not do:")


def _footer(story: Story) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(story.started))
    settings = " · ".join(f"{name}: {value}" for name, value in story.settings.items())
    timings = " · ".join(f"{step} {seconds:.1f} s" for step, seconds in story.timings.items())
    return f"{when}<br>{escape(settings)}<br>{escape(timings)}"
