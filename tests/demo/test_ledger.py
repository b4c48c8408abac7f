"""The ledger: every accepted ID accounted for, and nothing missing that it doesn't notice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.demo.ledger import Attempt, Evidence, Fate, balance

# What can become of a request in a system that works.
ENDS = ("completed", "repeated", "dead-lettered", "waiting", "delivered and waiting", "refused", "unanswered")


def evidence_of(ends: list[tuple[str, bool]]) -> Evidence:
    """What the witnesses of a working system say, given how each request ended, answered or not."""
    attempts, records, deliveries, dead, waiting = [], [], [], [], []
    for number, (end, answered) in enumerate(ends):
        key = f"id-{number}"
        if end == "refused":
            attempts.append(Attempt(correlation_id=key, status=400, acceptable=False))
            continue
        if end == "unanswered" or not answered:
            attempts.append(Attempt(correlation_id=key, status=None))
        else:
            attempts.append(Attempt(correlation_id=key, status=202, answered_id=key))
        if end in ("completed", "repeated"):
            records += [key] * (2 if end == "repeated" else 1)
            deliveries += [key] * (2 if end == "repeated" else 1)
        if end == "delivered and waiting":
            deliveries.append(key)
        if end == "dead-lettered":
            dead.append(key)
        if end in ("waiting", "delivered and waiting"):
            waiting.append(key)
    return Evidence(
        attempts=attempts,
        records=records,
        deliveries=deliveries,
        dead_letters={"Dead": dead[::2], "Delivery": dead[1::2]},
        waiting={"Queue": waiting},
    )


runs = st.lists(st.tuples(st.sampled_from(ENDS), st.booleans()), min_size=1, max_size=30)


@given(runs)
def test_a_working_system_balances(ends: list[tuple[str, bool]]) -> None:
    """Whatever mix of ends, accepted is completed plus dead-lettered plus waiting, and nothing is odd."""
    ledger = balance(evidence_of(ends))
    assert ledger.balanced
    assert ledger.accepted == sum(
        ledger.count(fate) for fate in (Fate.COMPLETED, Fate.DEAD_LETTERED, Fate.WAITING)
    )
    assert ledger.count(Fate.COMPLETED) == sum(end in ("completed", "repeated") for end, _ in ends)
    assert ledger.count(Fate.DEAD_LETTERED) == sum(end == "dead-lettered" for end, _ in ends)
    assert ledger.count(Fate.WAITING) == sum("waiting" in end for end, _ in ends)
    assert ledger.rejected_at_the_door == sum(end == "refused" for end, _ in ends)
    assert len(ledger.unanswered) == sum(end == "unanswered" for end, _ in ends)
    assert ledger.duplicates == sum(end == "repeated" for end, _ in ends)


@given(runs, st.data())
def test_dropping_an_id_from_any_witness_is_noticed(
    ends: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """Take one answered message out of one witness altogether, and the ledger no longer balances."""
    evidence = evidence_of([(end, True) for end, _ in ends])
    lists = {
        "records": set(evidence.records),
        "deliveries": set(evidence.records),
        "dead_letters": {key for queue in evidence.dead_letters.values() for key in queue},
        "waiting": {key for queue in evidence.waiting.values() for key in queue},
    }
    choices = [(witness, key) for witness, keys in lists.items() for key in sorted(keys)]
    if not choices:
        return
    witness, gone = data.draw(st.sampled_from(choices))
    kept = getattr(evidence, witness)
    without = (
        {name: [key for key in keys if key != gone] for name, keys in kept.items()}
        if isinstance(kept, dict)
        else [key for key in kept if key != gone]
    )
    ledger = balance(replace(evidence, **{witness: without}))
    assert not ledger.balanced
    assert gone in ledger.ids(Fate.LOST)


@given(runs, st.data())
def test_dropping_an_accepted_request_is_noticed(ends: list[tuple[str, bool]], data: st.DataObject) -> None:
    """A message in the system that no sender knows of is told as one that nobody sent."""
    evidence = evidence_of([(end, True) for end, _ in ends if end not in ("refused", "unanswered")])
    if not evidence.attempts:
        return
    gone = data.draw(st.sampled_from(evidence.attempts))
    ledger = balance(replace(evidence, attempts=[each for each in evidence.attempts if each is not gone]))
    assert f"{gone.correlation_id} turned up, yet nobody sent it" in ledger.discrepancies
    assert not ledger.balanced


ONE = evidence_of([("completed", True)])


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (replace(ONE, deliveries=[]), "id-0 has a COMPLETED record, yet the downstream never delivered it"),
        (replace(ONE, records=[]), "id-0 was delivered downstream, yet no COMPLETED record says so"),
        (replace(ONE, dead_letters={"D": ["id-0"]}), "id-0 is completed, yet in a dead-letter queue too"),
        (
            replace(ONE, records=[], dead_letters={"D": ["id-0"]}),
            "id-0 was delivered downstream, yet no COMPLETED record says so",
        ),
        (
            replace(ONE, attempts=[Attempt(correlation_id="id-0", status=500)]),
            "id-0 was refused with 500, yet it is in the system",
        ),
        (
            replace(
                ONE,
                attempts=[Attempt(correlation_id="id-0", status=202, acceptable=False, answered_id="id-0")],
            ),
            "id-0 was malformed, yet answered with 202",
        ),
        (
            replace(ONE, attempts=[Attempt(correlation_id="id-0", status=202, answered_id="other")]),
            "id-0 was answered with another correlation id, 'other'",
        ),
        (replace(ONE, attempts=[*ONE.attempts, *ONE.attempts]), "id-0 was sent 2 times"),
    ],
)
def test_what_cannot_be_is_told(evidence: Evidence, said: str) -> None:
    """Each contradiction between the witnesses is told in its own words, and fails the run."""
    ledger = balance(evidence)
    assert said in ledger.discrepancies
    assert not ledger.balanced


def test_an_unanswered_request_that_turns_up_was_accepted() -> None:
    """A request whose answer never came is held to the same promise once it is seen in the system."""
    evidence = evidence_of([("completed", False), ("unanswered", False)])
    ledger = balance(evidence)
    assert ledger.fates == {"id-0": Fate.COMPLETED}
    assert ledger.unanswered == ("id-1",)


def test_an_accepted_request_seen_nowhere_is_lost() -> None:
    """A 202 without a trace is a lost message."""
    ledger = balance(
        Evidence(
            attempts=[Attempt(correlation_id="a", status=202, answered_id="a")], records=[], deliveries=[]
        )
    )
    assert ledger.lost == 1
    assert ledger.ids(Fate.LOST) == ("a",)
