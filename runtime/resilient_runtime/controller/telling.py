"""What the controller tells of a circuit: an event for whoever listens, a metric for alarm and dashboard."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.settings import METRICS_NAMESPACE

__all__ = ["DETAIL_TYPE", "LEVELS", "SOURCE", "Change", "change_in", "event_of", "state_line"]

SOURCE = "resilient-constructs"
DETAIL_TYPE = "Circuit State Changed"

LEVELS: Mapping[CircuitState, int] = {
    CircuitState.DISABLED: -1,
    CircuitState.CLOSED: 0,
    CircuitState.HALF_OPEN: 1,
    CircuitState.OPEN: 2,
    CircuitState.FORCED_OPEN: 3,
}
"""The metric ``CircuitState``: from 2 on nothing passes."""


class Change(NamedTuple):
    """A change of state, as the table's stream tells it.

    :param name: the downstream
    :param before: the state until then
    :param after: the state since then
    :param version: the circuit's version with it
    :param at: when, in seconds since 1970
    :param retry_at: while OPEN, when the first probe may go out
    :param openings: how many times in a row it opened
    :param reason: why
    :param by: the environment or the person that did it
    """

    name: str
    before: CircuitState
    after: CircuitState
    version: int
    at: float
    retry_at: float | None
    openings: int
    reason: str
    by: str


def change_in(record: Mapping[str, Any]) -> Change | None:
    """The change that a stream record tells of; None where it tells of none.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
    """
    image = record.get("dynamodb", {}).get("NewImage") or {}
    transition = image.get("transition", {}).get("S", "")
    before, arrow, after = transition.partition(">")
    if not arrow:
        return None
    retry_at = image.get("retry_at", {}).get("N")
    return Change(
        name=image["name"]["S"],
        before=CircuitState(before),
        after=CircuitState(after),
        version=int(image["version"]["N"]),
        at=float(image["changed_at"]["N"]),
        retry_at=None if retry_at is None else float(retry_at),
        openings=int(image.get("openings", {}).get("N", 0)),
        reason=image.get("reason", {}).get("S", ""),
        by=image.get("by", {}).get("S", ""),
    )


def event_of(change: Change, *, bus: str, table: str) -> dict[str, Any]:
    """The entry for EventBridge's PutEvents.

    Name and version tell the same change from another one, for the event may come twice.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
    """
    detail = {
        "downstream": change.name,
        "circuits": table,
        "before": change.before,
        "after": change.after,
        "version": change.version,
        "changed_at": iso(change.at),
        "retry_at": None if change.retry_at is None else iso(change.retry_at),
        "openings": change.openings,
        "reason": change.reason,
        "by": change.by,
    }
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail, separators=(",", ":")),
    }


def state_line(name: str, circuit: Circuit | Change, *, table: str, now: float) -> str:
    """A line of the log that is the metric ``CircuitState``, too.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    :param circuit: the circuit as it is, or its change, which is dated when it took place
    :param now: wall-clock seconds
    """
    if isinstance(circuit, Change):
        state, at, before = circuit.after, circuit.at, {"before": circuit.before}
    else:
        state, at, before = circuit.state, now, {}
    directive = {
        "Namespace": METRICS_NAMESPACE,
        "Dimensions": [["Circuits", "Downstream"]],
        "Metrics": [{"Name": "CircuitState", "Unit": "None"}],
    }
    line = {
        "_aws": {
            "Timestamp": int(at * 1000),
            "CloudWatchMetrics": [directive],
        },
        "Circuits": table,
        "Downstream": name,
        "CircuitState": LEVELS[state],
        "status": "CIRCUIT",
        "state": state,
        **before,
        "version": circuit.version,
        "reason": circuit.reason,
        "by": circuit.by,
        "timestamp": iso(now),
    }
    return json.dumps(line, separators=(",", ":"))


def iso(seconds: float) -> str:
    """A moment for people."""
    whole, rest = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest:03d}Z"
