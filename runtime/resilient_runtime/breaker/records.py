"""The records that breakers leave in the log, each a line of JSON and a metric at once."""

from __future__ import annotations

import json
from typing import Any

from resilient_runtime.call import Call
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.settings import METRICS_NAMESPACE
from resilient_runtime.status import StatusLines

from .circuit import CircuitState
from .view import Transition

__all__ = ["CircuitRecords"]


class CircuitRecords:
    """Writes what becomes of one environment's circuits; every method returns one line of JSON.

    The metrics have the dimensions ``FunctionName`` and ``Downstream``.

    :param lines: knows what is common to all records
    """

    def __init__(self, lines: StatusLines) -> None:
        self._lines = lines

    def changed(self, transition: Transition) -> str:
        """This environment changed a circuit's state. Its opening and its closing are counted.

        A probe that fails opens it again: that is the same outage, and not counted.
        """
        circuit, before = transition.circuit, transition.before
        metric = None
        if circuit.state is CircuitState.CLOSED:
            metric = "Closed"
        elif circuit.state is CircuitState.OPEN and before is CircuitState.CLOSED:
            metric = "Opened"
        members: dict[str, Any] = {
            "from": str(before),
            "to": str(circuit.state),
            "reason": self._lines.shown(circuit.reason),
            "version": circuit.version,
            "by": circuit.by,
        }
        if circuit.retry_at is not None:
            members["retry_in_s"] = round(circuit.retry_at - self._lines.clock.wall(), 3)
        return self._line("CIRCUIT", transition.name, metric, self._lines.about, members)

    def refused(self, call: Call, refusal: CircuitOpen) -> str:
        """A downstream was not called. It has no duration: that would pass for a very quick answer.

        Why the circuit is open stands in the CIRCUIT record of its opening, once for all refusals.
        """
        members: dict[str, Any] = {"outcome": "refused", "state": str(refusal.state)}
        if refusal.retry_after is not None:
            members["retry_in_s"] = round(refusal.retry_after, 3)
        return self._line("CALLED", refusal.name, "CircuitRefused", self._lines.of(call), members)

    def _line(
        self, status: str, downstream: str, metric: str | None, about: str, members: dict[str, Any]
    ) -> str:
        """:param about: members that are JSON already, each with a comma before it."""
        milliseconds, timestamp = self._lines.at()
        counted: dict[str, Any] = {}
        if metric is not None:
            directive = {
                "Namespace": METRICS_NAMESPACE,
                "Dimensions": [["FunctionName", "Downstream"]],
                "Metrics": [{"Name": metric, "Unit": "Count"}],
            }
            counted = {
                "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]},
                "FunctionName": self._lines.function_name,
                "Downstream": downstream,
                metric: 1,
            }
        first = json.dumps(counted | {"status": status}, separators=(",", ":"))[:-1]
        rest = json.dumps({"downstream": downstream, **members}, separators=(",", ":"))[1:-1]
        return f"{first}{about},{rest},{timestamp}}}"
