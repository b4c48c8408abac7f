"""Whether there is time for one more record."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.batch_budget import BatchBudget

_SECONDS = st.floats(0, 900)


def _knowing(*seconds: float, timeout: float = 0.0) -> BatchBudget:
    """A budget in the middle of a batch that had 20 s to work in."""
    budget = BatchBudget()
    budget.begin()
    assert budget.may_begin(21, 1)
    for one in seconds:
        budget.took(one)
    if timeout:
        budget.timeout(timeout)
    return budget


@given(st.lists(_SECONDS, min_size=5, max_size=100))
def test_a_record_takes_what_nine_of_ten_took(seconds: list[float]) -> None:
    """Of the last 20 records, nine in ten took at most what the next one is expected to take."""
    budget = _knowing(*seconds)
    last = sorted(seconds[-20:])
    assert budget.needed() == last[math.ceil(len(last) * 0.9) - 1]


@given(st.lists(_SECONDS, max_size=60), st.floats(-10, 900), st.floats(0.2, 1))
def test_the_first_record_of_a_batch_is_begun(seconds: list[float], left: float, margin: float) -> None:
    """However long records took, the first of a batch is begun when more than the margin is left."""
    budget = _knowing(*seconds)
    budget.begin()
    assert budget.may_begin(left, margin) is (left - margin > 0)


@given(st.lists(_SECONDS, max_size=60), st.floats(0, 900), st.floats(0.2, 1), st.floats(0, 900))
def test_more_time_never_hurts(seconds: list[float], left: float, margin: float, more: float) -> None:
    """A record that is begun with some time left is begun with more time left too."""
    budget = _knowing(*seconds)
    assert budget.may_begin(left + more, margin) >= budget.may_begin(left, margin)


def test_a_record_is_not_begun_that_would_not_end() -> None:
    """With less left than records have been taking, beside the margin, the next one is not begun."""
    budget = _knowing(*[0.3] * 6)
    assert budget.may_begin(0.51, 0.2)
    assert not budget.may_begin(0.49, 0.2)


def test_the_third_slow_record_in_a_row_counts() -> None:
    """When a downstream becomes slow, the third record in a row that shows it is enough."""
    budget = _knowing(*[0.1] * 20, 5, 5)
    assert budget.needed() == 0.1
    budget.took(5)
    assert budget.needed() == 5


def test_a_downstreams_timeout_counts_while_records_are_few() -> None:
    """Until five records are known, the longest timeout given to a downstream is what a record may take."""
    budget = _knowing(0.1, timeout=8)
    budget.timeout(2)
    assert not budget.may_begin(8.5, 1)
    assert budget.may_begin(9.5, 1)
    for _ in range(4):
        budget.took(0.1)
    assert budget.may_begin(1.5, 1)


def test_a_timeout_as_long_as_the_invocation_does_not_return_every_batch() -> None:
    """A timeout that takes up more than half of an invocation says nothing about how long records take."""
    budget = _knowing(0.1, timeout=15)
    assert budget.may_begin(14, 1)
