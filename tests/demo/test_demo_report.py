"""The HTML report, the screen and the figures of a run."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from resilient_constructs.demo.circuits import Passing
from resilient_constructs.demo.plots import figure, per_second
from resilient_constructs.demo.report import render_report, write_report
from resilient_constructs.demo.screen import Screen, Standing, sparkline, verdict
from resilient_constructs.demo.story import Story, percentile


class Fetches(HTMLParser):
    """Collects what a browser would fetch for a page, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note links to other files."""
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or style."""
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Note visible text."""
        if not self._hidden:
            self.text.append(data)


def test_the_report_fetches_nothing(story: Story) -> None:
    """The report is one file: no script, style, font or picture comes from elsewhere."""
    html = render_report(story)
    assert Fetches(html).fetched == []
    assert "Plotly.newPlot" in html
    assert "@import" not in html


def test_the_report_tells_the_ledger_and_what_is_not_true_locally(story: Story) -> None:
    """Verdict, every figure of the ledger, settings and fidelity stand in the text, escaped."""
    html = render_report(story)
    text = " ".join(Fetches(html).text)
    assert verdict(story).split(": ")[1] in text
    assert "0 lost" in text
    for words in ("completed", "dead-lettered", "waiting", "duplicates", "rejected at the door", "demo.yml"):
        assert words in text
    assert story.fidelity[0] in text
    assert "<kept>" not in html


def test_what_a_user_wrote_is_text_in_the_report(story: Story) -> None:
    """Names of files and correlation IDs are text, whatever is in them."""
    written = "<script>alert(1)</script>"
    ledger = replace(story.ledger, discrepancies=(f"{written} turned up",))
    html = render_report(replace(story, settings={"profile": written}, fidelity=(written,), ledger=ledger))
    assert written not in html
    assert "".join(Fetches(html).text).count(written) == 3


def test_a_loss_is_told_in_red(story: Story, story_of_loss: Story) -> None:
    """A run that lost something has another verdict, and names every lost ID."""
    assert 'class="verdict"' in render_report(story)
    html = render_report(story_of_loss)
    assert 'class="verdict bad"' in html
    assert verdict(story_of_loss).startswith("3 lost: 290 accepted ≠ ")
    for key in story_of_loss.ledger.ids(
        next(fate for fate in story_of_loss.ledger.fates.values() if fate == "lost")
    ):
        assert f"{key} is lost" in html


def test_no_known_difference_is_said_too(story: Story) -> None:
    """An empty fidelity list is stated, not left out."""
    assert "Nothing that the stack asks for is known to differ" in render_report(replace(story, fidelity=()))


def test_every_panel_has_its_series(story: Story) -> None:
    """Arrivals, deliveries, depths, calls and circuit are drawn, and the outage is shaded in all panels."""
    plot = figure(story)
    names = {trace.name for trace in plot.data}
    assert {"accepted", "delivered", "to be received", "dead-lettered", "down (503)", "failed (502)"} <= names
    assert set(Passing) <= names
    shaded = [shape for shape in plot.layout.shapes if shape.fillcolor == "#C0392B"]
    assert {shape.xref for shape in shaded} == {"x", "x2", "x3", "x4", "x5"}


def test_the_circuit_has_a_lane(story: Story) -> None:
    """States and feeding stand above one another from beginning to end, and longer stretches are named."""
    bars = [trace for trace in figure(story).data if trace.name in set(Passing)]
    lanes: dict[str, list[tuple[float, float]]] = {}
    for bar in bars:
        for lane, begin, length in zip(bar.y, bar.base, bar.x, strict=True):
            lanes.setdefault(lane, []).append((begin, begin + length))
    assert set(lanes) == {"circuit", "queue fed"}
    for stretches in lanes.values():
        stretches.sort()
        assert all(one[1] == other[0] for one, other in pairwise(stretches))
        assert stretches[-1][1] == pytest.approx(story.ended - story.started)
    assert {text for bar in bars for text in bar.text} == {"", "closed", "open", "paused", "5 at a time"}


def test_the_report_tells_what_the_circuit_told(story: Story) -> None:
    """Each change with its time and reason, escaped, and how long the queue was paused."""
    html = render_report(story)
    text = "".join(Fetches(html).text)
    assert "18.6 s: Courier closed → open: <all> of the latest 10 calls failed" in text
    assert "<all>" not in html
    assert "34.0 s: Courier half open → closed: 2 probes" in text
    assert "The queue was paused for 13 s" in text


def test_a_stack_without_a_breaker_has_no_lane(story: Story) -> None:
    """Nothing is said of a circuit where there is none."""
    plain = replace(story, changes=(), fed=())
    assert "circuit told" not in render_report(plain)
    assert not set(Passing) & {trace.name for trace in figure(plain).data}
    assert plain.to_json()["paused_seconds"] == 0


def test_a_run_without_anything_has_a_report(story: Story, tmp_path: Path) -> None:
    """Nothing sent, nothing sampled, no outage: still a report, written into a folder that wasn't there."""
    empty = replace(story, sent=(), calls=(), depths=(), outages=(), ended=story.started)
    path = tmp_path / "new" / "report.html"
    write_report(empty, path)
    assert "</html>" in path.read_text()


@given(st.lists(st.floats(min_value=0, max_value=59.9), max_size=100))
def test_counting_by_second_loses_nothing(moments: list[float]) -> None:
    """Every moment within the run is counted in exactly one second."""
    assert sum(per_second((1000 + moment for moment in moments), start=1000, seconds=60)) == len(moments)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (75, 3), (99, 4), (100, 4)])
def test_percentiles_are_nearest_rank(percent: float, expected: float) -> None:
    """A percentile is a value that occurred."""
    assert percentile([4, 1, 3, 2], percent) == expected
    assert percentile([], percent) == 0


def test_the_figures_are_json(story: Story) -> None:
    """The machine's version has the same sums as the ledger, and nothing that JSON can't hold."""
    figures = json.loads(json.dumps(story.to_json()))
    assert figures["accepted"] == figures["completed"] + figures["dead_lettered"] + figures["waiting"]
    assert (figures["lost"], figures["balanced"]) == (0, True)
    assert [change["after"] for change in figures["circuit"]] == ["OPEN", "HALF_OPEN", "CLOSED"]
    assert figures["rejected_by_status"] == {"400": 2, "415": 1}


NOW = Standing(
    phase="driving",
    elapsed=3,
    planned=10,
    sent=4,
    accepted=3,
    rejected=1,
    courier_down=True,
    feeding="paused",
)


def test_a_log_gets_plain_lines() -> None:
    """Where there is no terminal, standings are plain lines without control characters."""
    out = io.StringIO()
    with Screen(Console(file=out, width=100)) as screen:
        screen.step("beginning")
        screen.show(NOW)
        screen.show(NOW)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("sent 4/10") == 1
    assert "courier DOWN, paused" in out.getvalue()


def test_a_terminal_gets_a_live_panel_and_its_cursor_back() -> None:
    """On a terminal the panel is live, and the cursor is shown again at the end, after an error too."""
    out = io.StringIO()

    def interrupted() -> None:
        with Screen(Console(file=out, width=100, force_terminal=True)) as screen:
            screen.show(NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "driving" in out.getvalue()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_the_ledger_ends_with_the_verdict(story: Story, story_of_loss: Story) -> None:
    """The last line of a run says how many were lost, and the sum; a loss names every ID."""
    said = []
    for each in (story, story_of_loss):
        out = io.StringIO()
        Screen(Console(file=out, width=100)).ledger(each)
        said.append(out.getvalue())
    assert (
        said[0].strip().splitlines()[-1]
        == "0 lost: 290 accepted = 284 completed + 6 dead-lettered + 0 waiting"
    )
    assert len(re.findall(r"^lost: demo-0-\d{5}$", said[1], re.MULTILINE)) == 3


def test_a_sparkline_fills_its_height() -> None:
    """The highest value is a full bar, nothing is a blank, anything at all is seen."""
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "
