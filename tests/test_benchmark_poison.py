"""The poison benchmark: both sides meet the same stream, and its figures are what they say."""

from __future__ import annotations

import pytest

from benchmarks.poison import measure
from benchmarks.poison_world import Bad, Load, Stream

SHORT = Load(
    records=1200,
    keys=60,
    bad={Bad.RAISES: 4, Bad.REFUSED: 3, Bad.DEADLY: 1},
    outage=(1.0, 6.0),
)


@pytest.fixture(scope="module")
def ran() -> dict[str, dict[str, float]]:
    """A short stream on both sides."""
    return {side: measure(side, 1, SHORT) for side in ("ours", "plain")}


def test_ours_loses_nothing_and_keeps_poison_whole(ran: dict[str, dict[str, float]]) -> None:
    """With our runtime every good record is done in order, and all poison is kept whole."""
    ours = ran["ours"]
    assert ours["good_records_lost"] == 0
    assert ours["poison_not_kept_whole"] == 0
    assert ours["order_broken"] == 0


def test_a_plain_mapping_only_points_at_what_it_gave_up(ran: dict[str, dict[str, float]]) -> None:
    """Without our runtime poison is known by its position alone, and isolating it takes more invocations."""
    plain = ran["plain"]
    assert plain["poison_not_kept_whole"] == 8
    assert plain["invocations"] > ran["ours"]["invocations"]


def test_both_sides_meet_the_same_records() -> None:
    """Which records are bad depends on the seed alone."""
    one, other = Stream(load=SHORT, seed=3), Stream(load=SHORT, seed=3)
    assert one.bad == other.bad
    assert one.bad != Stream(load=SHORT, seed=4).bad
    assert sorted(record for shard in range(4) for record in one.of_shard(shard)) == list(range(1200))
