"""Timestamps as Step Functions writes and reads them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["seconds_of", "timestamp"]


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    millis = round(seconds * 1000)
    whole = datetime.fromtimestamp(millis // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z"


def seconds_of(text: str) -> float:
    """The moment that a Wait state's ``Timestamp`` means; milliseconds are cut off.

    https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html

    :raises ValueError: when it is no RFC 3339 timestamp
    """
    if "T" not in text or not (text.endswith("Z") or "+" in text or text.count("-") > 2):
        raise ValueError(f"{text!r} is no RFC 3339 timestamp")
    return float(int(datetime.fromisoformat(text).timestamp()))
