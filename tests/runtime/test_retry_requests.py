from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from resilient_runtime import GaveUp, RetryBudget
from retry_world import Answer, World, ending, refused


class Wire:
    """A client's ``request`` that remembers what it was asked."""

    def __init__(self, ends: Iterable[object]) -> None:
        self._end = ending(*ends)
        self.asked: list[tuple[str, dict[str, str], Any]] = []

    def request(self, method: str, url: str, *, headers: dict[str, str], json: object = None) -> Any:
        """Answer as told."""
        self.asked.append((method, dict(headers), json))
        return self._end()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "get"])
def test_a_request_that_may_be_repeated_is(method: str) -> None:
    """What HTTP calls idempotent is sent again."""
    wire = Wire([Answer(503), Answer(200)])
    assert World().retry().request(wire.request, method, "https://x") == Answer(200)
    assert len(wire.asked) == 2


def test_a_request_that_changes_something_is_not_repeated() -> None:
    """A POST without a key comes back with its 503, or its exception, as it was."""
    wire = Wire([Answer(503), Answer(200)])
    assert World().retry().request(wire.request, "POST", "https://x") == Answer(503)
    with pytest.raises(ConnectionResetError):
        World().retry().request(Wire([ConnectionResetError()]).request, "POST", "https://x")
    assert len(wire.asked) == 1


@pytest.mark.parametrize("end", [Answer(429), Answer(408), refused()])
def test_a_request_that_did_nothing_is_repeated(end: object) -> None:
    """What never reached the other side, or was turned away at its door, is sent again even without a key."""
    wire = Wire([end, Answer(200)])
    assert World().retry().request(wire.request, "POST", "https://x") == Answer(200)


def test_the_idempotency_key_stays_the_same() -> None:
    """Every attempt carries the key, the headers and the body of the first."""
    wire = Wire([Answer(503), ConnectionResetError(), Answer(200)])
    World().retry().request(
        wire.request, "POST", "https://x", idempotency_key="k-1", headers={"X-A": "b"}, json={"n": 1}
    )
    assert wire.asked == [("POST", {"X-A": "b", "Idempotency-Key": "k-1"}, {"n": 1})] * 3


def test_a_key_among_the_headers_counts_too() -> None:
    """Whoever sets the header may have the request repeated."""
    wire = Wire([Answer(503), Answer(200)])
    World().retry().request(wire.request, "POST", "https://x", headers={"idempotency-key": "k"})
    assert len(wire.asked) == 2


def test_a_failure_that_is_not_repeated_fills_no_budget() -> None:
    """Only what succeeded pays for retries; an answer 503 that is handed on did not."""
    budget = RetryBudget(capacity=1)
    budget.take()
    policy = World().retry(budget=budget)
    assert policy.request(Wire([Answer(503)]).request, "POST", "https://x").status_code == 503
    assert budget.tokens == 0
    policy.request(Wire([Answer(200)]).request, "POST", "https://x")
    assert budget.tokens == 0.1


@pytest.mark.parametrize("url", ["https://x/y?token=secret", "https://jo:secret@x/y", "https://se@cret@x/y"])
def test_a_message_holds_no_secret_of_a_url(url: str) -> None:
    """Neither a token in its query nor a password before its host gets into logs."""
    with pytest.raises(GaveUp, match=r"^GET https://x/y: gave up") as raised:
        World().retry().request(Wire([Answer(503)]).request, "GET", url)
    assert "secret" not in str(raised.value)
