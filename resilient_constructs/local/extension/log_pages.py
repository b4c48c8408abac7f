"""Reading a log that is longer than one answer.

AWS: FilterLogEvents answers with 10,000 events at most, and with a token for the next ones.
ministack 1.5.33: without the token; what comes after the first 10,000 is never found.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from ministack.core.responses import json_response
from ministack.services import cloudwatch_logs

__all__ = ["close"]

_MOST = 10_000


def close() -> None:
    """Put it in place."""
    otherwise = cloudwatch_logs._filter_log_events

    def filter_log_events(data: dict[str, Any]) -> Any:
        status, headers, body = otherwise({**data, "limit": 1})
        if status != 200 or not json.loads(body)["events"]:
            return status, headers, body
        limit = min(int(data.get("limit", _MOST)), _MOST)
        # The token says how many events have been given.
        first = int(data.get("nextToken", 0))
        events = list(islice(_events(data), first, first + limit + 1))
        more = {"nextToken": str(first + limit)} if len(events) > limit else {}
        return json_response({"events": events[:limit], "searchedLogStreams": [], **more})

    cloudwatch_logs._filter_log_events = filter_log_events


def _events(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every event that fits, in the order of time."""
    streams = cloudwatch_logs._log_groups[cloudwatch_logs._resolve_log_group_name(data)]["streams"]
    fits = cloudwatch_logs._compile_filter_pattern(data.get("filterPattern", ""))
    begin, end = data.get("startTime", 0), data.get("endTime", sys.maxsize)
    with cloudwatch_logs._log_events_lock:
        found = [
            [{**event, "logStreamName": name} for event in stream["events"]]
            for name, stream in streams.items()
            if name in (data.get("logStreamNames") or streams)
        ]
    for event in heapq.merge(*found, key=itemgetter("timestamp")):
        if begin <= event["timestamp"] <= end and fits(event.get("message", "")):
            yield event
