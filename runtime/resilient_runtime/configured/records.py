"""What the log says of configuration: names, ages and what AWS answered; never a value."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from resilient_runtime.clock import Clock
from resilient_runtime.settings import METRICS_NAMESPACE

__all__ = ["ConfigurationRecords"]

_STALE = (
    "The last values that were loaded stay in use, and nothing failed. Values that changed since are not "
    "seen until the store answers again; it is asked again with growing pauses."
)


class ConfigurationRecords:
    """Writes the records of one execution environment.

    :param service: the service's name as the construct was given it
    :param function_name: the value of the metric's only dimension, ``FunctionName``
    :param emit: takes each line
    """

    def __init__(
        self, *, service: str, function_name: str, clock: Clock, emit: Callable[[str], None]
    ) -> None:
        self._service = service
        self._function_name = function_name
        self._clock = clock
        self._emit = emit

    def stale(self, faults: Mapping[str, str], ages: Mapping[str, float]) -> None:
        """A refresh failed for the first time since all was well; counted once."""
        self._record("STALE", faults=dict(faults), age_s=_rounded(ages), remedy=_STALE, counts=True)

    def fresh(self, ages: Mapping[str, float], outage: float) -> None:
        """The store answered for everything again."""
        self._record("FRESH", age_s=_rounded(ages), outage_s=round(outage, 1), counts=False)

    def unconfigured(self, faults: Mapping[str, str]) -> None:
        """Values are missing, so whoever asks for them fails; counted once."""
        self._record("UNCONFIGURED", faults=dict(faults), counts=True)

    def _record(self, status: str, *, counts: bool, **members: Any) -> None:
        now = self._clock.wall()
        milliseconds = int(now * 1000)
        record: dict[str, Any] = {}
        if counts:
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
            record["_aws"] = {
                "Timestamp": milliseconds,
                "CloudWatchMetrics": [
                    {
                        "Namespace": METRICS_NAMESPACE,
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [{"Name": "ConfigurationFailed", "Unit": "Count"}],
                    }
                ],
            }
            record["FunctionName"] = self._function_name
            record["ConfigurationFailed"] = 1
        second, rest = divmod(milliseconds, 1000)
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03d}Z"
        record |= {"status": status, "service": self._service, "function_name": self._function_name}
        record |= members | {"timestamp": at}
        self._emit(json.dumps(record, separators=(",", ":")))


def _rounded(ages: Mapping[str, float]) -> dict[str, float]:
    return {name: round(age, 1) for name, age in ages.items()}
