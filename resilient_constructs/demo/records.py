"""Status records, read back from where a function logged them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["records_of"]


def records_of(logs: Any, group: str) -> Iterator[Mapping[str, Any]]:
    """Every record in a log group, in order.

    :param logs: a boto3 client of CloudWatch Logs
    """
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        for event in page["events"]:
            try:
                record = json.loads(event["message"])
            except ValueError:
                # Lambda's own lines, START and REPORT among them, are plain text by default.
                continue
            if isinstance(record, dict):
                yield record
