"""The lines that tell of an environment's health: log entries, and metrics where they count something."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from resilient_runtime.clock import Clock
from resilient_runtime.settings import METRICS_NAMESPACE

from .probe import RESOURCES, Reading

__all__ = ["METRICS", "HealthLines", "in_words", "percent"]

METRICS = dict(zip(RESOURCES, ("DescriptorsUsed", "MemoryUsed", "TmpUsed", "ThreadsUsed"), strict=True))
"""The metric of each resource, in percent of its limit."""

_MEGABYTE = 1024 * 1024


class HealthLines:
    """Writes the lines of one environment. They are rare, so they are written plainly."""

    def __init__(self, *, service: str, function_name: str, clock: Clock) -> None:
        self.service = service
        self.function_name = function_name
        self._clock = clock

    def line(
        self,
        status: str,
        *,
        request_id: str,
        counts: tuple[str, ...] = (),
        percents: Mapping[str, float] | None = None,
        **members: Any,
    ) -> str:
        """One line.

        :param counts: metrics of which there is one more
        :param percents: metrics in percent
        """
        ms = int(self._clock.wall() * 1000)
        document: dict[str, Any] = {}
        metrics = [{"Name": name, "Unit": "Count"} for name in counts]
        metrics += [{"Name": name, "Unit": "Percent"} for name in percents or ()]
        if metrics:
            document["_aws"] = {
                "Timestamp": ms,
                "CloudWatchMetrics": [
                    {"Namespace": METRICS_NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics}
                ],
            }
            document["FunctionName"] = self.function_name
            document.update(dict.fromkeys(counts, 1))
            document.update(percents or {})
        document["status"] = status
        document["service"] = self.service
        document["function_name"] = self.function_name
        document["request_id"] = request_id
        document.update(members)
        second, rest = divmod(ms, 1000)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        document["timestamp"] = f"{at}.{rest:03d}Z"
        return json.dumps(document, separators=(",", ":"), default=str)


def percent(reading: Reading, limits: Reading) -> dict[str, float]:
    """Each known figure in percent of its limit, by resource."""
    return {
        name: round(100 * used / limit, 1)
        for name, used, limit in zip(RESOURCES, reading, limits, strict=True)
        if used is not None and limit
    }


def in_words(reading: Reading, limits: Reading) -> dict[str, str]:
    """Each known figure as a person reads it: ``412 of 1,024``, ``61.2 of 128 MB``."""
    return {
        name: _pair(name, used, limit)
        for name, used, limit in zip(RESOURCES, reading, limits, strict=True)
        if used is not None and limit
    }


def _pair(name: str, used: int, limit: int) -> str:
    if name in ("memory", "tmp"):
        return f"{used / _MEGABYTE:,.1f} of {limit / _MEGABYTE:,.0f} MB"
    return f"{used:,} of {limit:,}"
