"""A run that never happened: a small queueing model writes a story as a real run would leave it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from resilient_constructs.demo.circuits import Change, Sighting
from resilient_constructs.demo.courier import Call, Courier, Manner, Outcome
from resilient_constructs.demo.drive import Sent
from resilient_constructs.demo.ledger import Attempt, Evidence, balance
from resilient_constructs.demo.orders import Kind, plan
from resilient_constructs.demo.profile import load_profile
from resilient_constructs.demo.story import Story
from resilient_constructs.demo.witnesses import Depths

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "examples" / "load" / "demo.yml"
START = 1_790_000_000.0
SLOTS = 3
VISIBILITY = 18.0


def tell(*, seed: int = 7, drop: int = 0) -> Story:
    """Simulate a run; ``drop`` so many completed orders from the consumer's records."""
    dice = random.Random(seed)
    profile = load_profile(PROFILE)
    planned = plan(profile, seed=seed, run="demo-0")
    now = START
    courier = Courier(manner=Manner(), seed=seed, clock=lambda: now)
    sent, ready, dead, records, depths = [], [], [], [], []
    for request in planned:
        status = {Kind.INVALID_JSON: 400, Kind.SCHEMA_BREACH: 400, Kind.WRONG_TYPE: 415}.get(
            request.kind, 202
        )
        at = START + request.at
        ended = at + dice.uniform(0.006, 0.03)
        sent.append(
            Sent(
                kind=request.kind,
                correlation_id=request.correlation_id,
                due=at,
                at=at + 0.001,
                ended=ended,
                status=status,
                message_id=request.correlation_id if status == 202 else "",
                answered_id=request.correlation_id if status == 202 else "",
            )
        )
        if status == 202:
            ready.append((ended, request))
    slots = [START] * SLOTS
    sampled = START
    accepted_at = [at for at, _ in ready]
    while ready:
        slots.sort()
        ready.sort(key=lambda item: item[0])
        at, request = ready.pop(0)
        now = max(slots[0], at)
        while sampled < now:
            queued = [when for when, _ in ready if when <= sampled]
            out = (
                sum(1 for when, _ in ready if when > sampled)
                + 1
                - sum(1 for when in accepted_at if when > sampled)
            )
            depths.append(Depths(at=sampled, visible=len(queued), in_flight=max(0, out), dead=len(dead)))
            sampled += 1
        (courier.down if 17.5 <= now - START < 32.5 else courier.up)()
        order = {"address": "nowhere" if request.kind is Kind.POISON else "1 Harbour Street"}
        reply = courier.decide(order, request.correlation_id)
        began, now = now, now + reply.after + 0.03
        slots[0] = now
        courier.record(
            Call(
                at=began,
                ended=now,
                outcome=reply.outcome,
                key=request.correlation_id,
                correlation_id=request.correlation_id,
            )
        )
        if reply.outcome is Outcome.DELIVERED:
            records.append(request.correlation_id)
        elif reply.outcome is Outcome.REFUSED:
            dead.append(request.correlation_id)
        else:
            ready.append((began + VISIBILITY, request))
    return Story(
        started=START,
        ended=now + 1,
        sent=sent,
        calls=courier.seen(),
        depths=depths,
        outages=[(begin, end or now) for begin, end in courier.outages],
        ledger=balance(
            Evidence(
                attempts=[
                    Attempt(
                        correlation_id=answer.correlation_id,
                        status=answer.status,
                        acceptable=not answer.kind.malformed,
                        answered_id=answer.answered_id,
                    )
                    for answer in sent
                ],
                records=records[drop:],
                deliveries=[call.correlation_id for call in courier.seen() if call.status == 200],
                dead_letters={"Dead": dead},
            )
        ),
        capacity=8.0,
        fidelity=["Courier/Orders/Archive: AWS::Events::Archive: <kept>, but replay filters are ignored"],
        settings={"profile": "demo.yml, 50 s, seed 7"},
        changes=[
            Change(at=START + at, downstream="Courier", before=before, after=after, version=n, reason=why)
            for n, (at, before, after, why) in enumerate(
                [
                    (18.6, "CLOSED", "OPEN", "<all> of the latest 10 calls failed"),
                    (33.1, "OPEN", "HALF_OPEN", "<all> of the latest 10 calls failed"),
                    (34.0, "HALF_OPEN", "CLOSED", "2 probes in a row succeeded"),
                ],
                start=1,
            )
        ],
        fed=[
            Sighting(at=START + at, concurrency=0 if 19 <= at < 32 else 2 if 32 <= at < 34 else 5)
            for at in range(1, 60)
        ],
        timings={"deploy": 14.2, "drive": 50.1, "drain": 66.0, "total": 132.0},
    )


@pytest.fixture(scope="session")
def story() -> Story:
    """A run in which nothing was lost."""
    return tell()


@pytest.fixture(scope="session")
def story_of_loss() -> Story:
    """A run whose records miss three completed orders."""
    return tell(drop=3)


@pytest.fixture
def write_profile(tmp_path: Path) -> Callable[[str], Path]:
    """Write a profile's text into a file."""

    def write(text: str) -> Path:
        path = tmp_path / "profile.yml"
        path.write_text(text)
        return path

    return write
