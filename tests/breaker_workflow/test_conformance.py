"""The state machine and the runtime's breaker do the same, whatever happens to them.

The interpreter is ``resilient_constructs.testing.states``, with jsonata-python as its JSONata; what it does
not cover is told there. AWS's own engine (JSONata 2.0.6) is not asked.
"""

from __future__ import annotations

import pytest
from conformance_traces import POLICIES, Trace
from sizes import sized

pytestmark = pytest.mark.conformance

TRACES = sized(125, 60)
CALLS = 4


@pytest.mark.parametrize("parking", ["QUEUE", "WAIT"])
@pytest.mark.parametrize("index", range(len(POLICIES)))
def test_state_machines_decide_and_write_what_the_runtime_does(index: int, parking: str) -> None:
    """Through 2,000 traces in all, or 960: the same step at every step, and the same item after it."""
    seen: set[str] = set()
    calls = 0
    for seed in range(TRACES):
        trace = Trace(seed, index, parking)
        trace.run(CALLS)
        seen |= trace.seen
        calls += trace.calls
    assert calls >= TRACES * CALLS * 0.8
    # Else the traces would hold nothing: all kinds of steps, and the circuit goes round.
    wanted = {"read", "call", "probe", "count", "change", "wait", "done", "gave up"}
    wanted |= {"CLOSED", "OPEN", "HALF_OPEN", "refused OPEN"}
    wanted |= {"parked"} if parking == "QUEUE" else set()
    assert wanted <= seen, wanted - seen
