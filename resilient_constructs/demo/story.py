"""What happened in one run, as values: what the report draws, the screen shows and ``--json`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .circuits import Change, Passing, Sighting, Span, circuit_spans, feeding_spans
from .courier import Call, Outcome
from .drive import Sent
from .ledger import Fate, Ledger
from .orders import Kind
from .witnesses import Depths

__all__ = ["Story", "percentile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One run from its first request to its ledger.

    :param started: when the first request was due, in seconds since the epoch
    :param ended: when the queues were found empty, or were given up on
    :param sent: every request and its answer
    :param calls: every call the courier got
    :param depths: the queues' depths over time
    :param outages: when the courier was down
    :param ledger: the account
    :param capacity: deliveries per second that the courier can make at most
    :param fidelity: what is not true on the local AWS
    :param settings: what the run was made with, in words, for the report's footer
    :param timings: seconds each step took
    :param changes: how the courier's circuit changed, as its controller told it. Default: it has none
    :param fed: how the consumer was fed over time
    """

    started: float
    ended: float
    sent: Sequence[Sent]
    calls: Sequence[Call]
    depths: Sequence[Depths]
    outages: Sequence[tuple[float, float]]
    ledger: Ledger
    capacity: float
    fidelity: Sequence[str]
    settings: Mapping[str, str]
    timings: Mapping[str, float]
    changes: Sequence[Change] = ()
    fed: Sequence[Sighting] = ()

    @property
    def answer_times(self) -> list[float]:
        """Seconds from sending to answer, of every request that was accepted."""
        return [sent.ended - sent.at for sent in self.sent if sent.status == 202]

    @property
    def delivery_times(self) -> list[float]:
        """Seconds from an order's acceptance to its delivery."""
        accepted = {sent.correlation_id: sent.ended for sent in self.sent if sent.status == 202}
        return [
            max(0.0, call.ended - accepted[call.correlation_id])
            for call in self.calls
            if call.outcome is Outcome.DELIVERED and call.correlation_id in accepted
        ]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How often the courier answered how."""
        return Counter(call.outcome for call in self.calls)

    @property
    def kinds(self) -> Counter[Kind]:
        """How many requests of which kind were sent."""
        return Counter(sent.kind for sent in self.sent)

    @property
    def deepest(self) -> int:
        """The most messages that were ever waiting."""
        return max((depth.waiting for depth in self.depths), default=0)

    @property
    def circuit(self) -> list[Span]:
        """The circuit's states over the run."""
        return circuit_spans(self.changes, begin=self.started, end=self.ended)

    @property
    def feeding(self) -> list[Span]:
        """What the consumer was fed over the run."""
        return feeding_spans(self.fed, end=self.ended)

    @property
    def paused_seconds(self) -> float:
        """How long the consumer was fed nothing."""
        return sum(span.end - span.begin for span in self.feeding if span.passing is Passing.NOTHING)

    def to_json(self) -> dict[str, Any]:
        """The figures, for machines."""
        ledger = self.ledger
        return {
            "balanced": ledger.balanced,
            "sent": len(self.sent),
            "accepted": ledger.accepted,
            "completed": ledger.count(Fate.COMPLETED),
            "dead_lettered": ledger.count(Fate.DEAD_LETTERED),
            "waiting": ledger.count(Fate.WAITING),
            "lost": ledger.lost,
            "duplicates": ledger.duplicates,
            "rejected_at_the_door": ledger.rejected_at_the_door,
            "rejected_by_status": {str(status): count for status, count in ledger.rejected.items()},
            "unanswered": len(ledger.unanswered),
            "discrepancies": list(ledger.discrepancies),
            "lost_ids": list(ledger.ids(Fate.LOST)),
            "courier_calls": {outcome.value: self.outcomes[outcome] for outcome in Outcome},
            "circuit": [
                {
                    "seconds": round(change.at - self.started, 2),
                    "before": change.before,
                    "after": change.after,
                    "reason": change.reason,
                }
                for change in self.changes
            ],
            "paused_seconds": round(self.paused_seconds, 1),
            "deepest_queue": self.deepest,
            "answer_seconds_p50": round(percentile(self.answer_times, 50), 4),
            "answer_seconds_p99": round(percentile(self.answer_times, 99), 4),
            "delivery_seconds_p50": round(percentile(self.delivery_times, 50), 2),
            "delivery_seconds_max": round(max(self.delivery_times, default=0.0), 2),
            "driver_late_seconds_p99": round(percentile([sent.late for sent in self.sent], 99), 4),
            "seconds": {step: round(seconds, 2) for step, seconds in self.timings.items()},
            "fidelity": list(self.fidelity),
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; 0 where there are no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]
