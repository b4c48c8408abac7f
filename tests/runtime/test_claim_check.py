"""Events that only claim their payload, in mode ``event``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from lambda_events import App
from resilient_runtime.claim_check import made_whole

CLAIM = {"bucket": "kept", "key": "work/1.json", "size": 12}
CLAIMING = {"resilient": {"name": "order-7", "claim": CLAIM}, "input": None}


class Kept:
    """Payloads in memory."""

    reads = 0

    def read(self, claim: Mapping[str, Any]) -> str:
        """The only one there is."""
        assert claim == CLAIM
        Kept.reads += 1
        return json.dumps({"page": "A" * 300_000})


def handle(event: Any, _context: Any) -> int:
    """The length of the page."""
    if event["page"] == "poison":
        raise ValueError(event["page"])
    return len(event["page"])


def test_a_claimed_payload_is_what_the_handler_gets() -> None:
    """The envelope is ours, and the handler never sees it."""
    assert made_whole(handle, Kept)(CLAIMING, None) == 300_000


@pytest.mark.parametrize(
    "event",
    [
        {"page": "abc"},
        {"page": "abc", "resilient": {"claim": CLAIM}, "input": None},
        {"page": "abc", "resilient": {}},
    ],
)
def test_any_other_event_is_handed_over_as_it_is(event: dict[str, Any]) -> None:
    """And nothing is read for it."""
    before = Kept.reads
    assert made_whole(handle, Kept)(event, None) == 3
    assert Kept.reads == before


def test_a_failed_record_shows_the_claim_and_not_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has no room for what an execution has none for."""
    monkeypatch.setattr("resilient_runtime.claim_check._s3", Kept)

    def fail(event: Any, _context: Any) -> None:
        raise ValueError(len(event["page"]))

    app = App(fail, "event")
    with pytest.raises(ValueError, match="300000"):
        app(CLAIMING)
    failed = app.lines[-1]
    assert "work/1.json" in failed
    assert "AAAA" not in failed
