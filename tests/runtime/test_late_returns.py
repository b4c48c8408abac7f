from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lambda_events import sqs_record
from resilient_runtime import Call
from resilient_runtime.late_returns import LateReturns
from resilient_runtime.returning import Returns


class Told:
    """A queue in memory."""

    needs = 0.0

    def __init__(self) -> None:
        self.delays: list[list[tuple[str, float]]] = []

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Keep them."""
        self.delays.append([(record["messageId"], seconds) for record, seconds in delays])


STEP = st.sampled_from(["begin", "settled", "failed", "held", "tell"])


def play(returns: Returns | LateReturns, steps: Sequence[str]) -> None:
    """One batch after the other, as the steps have it."""
    returns.begin()
    for number, step in enumerate(steps):
        record = sqs_record(message_id=f"m-{number}")
        if step == "failed":
            returns.failed(record, Call(attempt=5), ConnectionError(), None)
        elif step == "held":
            returns.held(record, None, 7.0)
        elif step == "tell":
            returns.tell(60.0)
        else:
            getattr(returns, step)()


@given(st.lists(STEP, max_size=30))
def test_whatever_happens_it_does_as_the_one_that_it_stands_for(steps: list[str]) -> None:
    """Made late or at once, the same messages return after the same seconds."""
    early, late = Told(), Told()
    play(Returns(early, random=lambda: 0.5), steps)
    play(LateReturns(lambda: Returns(late, random=lambda: 0.5)), steps)
    assert late.delays == early.delays


@given(st.lists(st.sampled_from(["begin", "settled", "tell"]), max_size=10))
def test_nothing_is_made_while_all_goes_well(steps: list[str]) -> None:
    """An environment in which nothing goes back imports nothing for it."""
    made: list[int] = []

    def make() -> Returns:
        made.append(1)
        return Returns(Told())

    play(LateReturns(make), steps)
    assert made == []


def test_it_is_made_once() -> None:
    """Every later batch has the same one, which counts failures in a row."""
    made: list[int] = []
    told = Told()

    def make() -> Returns:
        made.append(1)
        return Returns(told, random=lambda: 0.5)

    play(LateReturns(make), ["failed", "tell", "begin", "failed", "tell"])
    assert made == [1]
    assert [[id_ for id_, _ in batch] for batch in told.delays] == [["m-0"], ["m-3"]]
