"""Records that are written once in a long while: plain members, and at most one metric that counts them.

The status records are put together by hand, for every message writes two; what is here may take its time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from .clock import Clock
from .settings import METRICS_NAMESPACE

__all__ = ["RareRecords"]


class RareRecords:
    """Writes the rare records of one execution environment.

    :param service: the service's name as the construct was given it
    :param function_name: the value of the metrics' only dimension, ``FunctionName``
    :param emit: takes each line
    """

    def __init__(
        self, *, service: str, function_name: str, clock: Clock, emit: Callable[[str], None]
    ) -> None:
        self._about = {"service": service, "function_name": function_name}
        self._clock = clock
        self._emit = emit

    def record(self, status: str, members: Mapping[str, Any], *, counts: str | None = None) -> None:
        """Write one line of JSON.

        :param counts: the metric that counts it, with the unit Count. Default: it is not counted
        """
        milliseconds = int(self._clock.wall() * 1000)
        second, rest = divmod(milliseconds, 1000)
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03d}Z"
        metric = {} if counts is None else self._counted(counts, milliseconds)
        line = metric | {"status": status} | self._about | dict(members) | {"timestamp": at}
        self._emit(json.dumps(line, separators=(",", ":")))

    def _counted(self, metric: str, milliseconds: int) -> dict[str, Any]:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        directive = {
            "Namespace": METRICS_NAMESPACE,
            "Dimensions": [["FunctionName"]],
            "Metrics": [{"Name": metric, "Unit": "Count"}],
        }
        return {
            "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]},
            "FunctionName": self._about["function_name"],
            metric: 1,
        }
