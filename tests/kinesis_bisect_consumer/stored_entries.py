"""What every entry of a poison store must have, whoever stored it."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from resilient_constructs.operate.poison import Entry

__all__ = ["assert_stored_once", "assert_whole"]

A_DAY = 86_400


def assert_whole(entry: Entry, *, payload: bytes, key: str, tries: range) -> None:
    """The record is there as Lambda delivered it, with where it was, when it came, and why it is here.

    :param tries: how many there may have been
    """
    told = entry.told
    record = told["record"]
    assert base64.b64decode(record["kinesis"]["data"]) == payload
    assert told["partition_key"] == record["kinesis"]["partitionKey"] == key
    assert told["sequence_number"] == record["kinesis"]["sequenceNumber"]
    assert told["shard"] == record["eventID"].partition(":")[0]
    assert ":stream/" in told["stream"]
    assert told["arrived_at"] == record["kinesis"]["approximateArrivalTimestamp"]
    stored_at = datetime.fromisoformat(told["stored_at"]).timestamp()
    # both are of clocks that may be read in whole seconds
    assert time.time() - A_DAY < told["arrived_at"] <= stored_at + 1
    assert told["version"] == 1
    assert told["reason"]
    _assert_why(told, tries)


def _assert_why(told: Mapping[str, Any], tries: range) -> None:
    if told["kind"] == "PARKED":
        assert not told.keys() & {"error", "stack", "strikes"}
        return
    assert told["strikes"] in tries, told
    assert told["error"]
    # what died with its process left no stack
    assert ("Traceback" in told.get("stack", "")) == (told["kind"] == "POISON"), told


def assert_stored_once(entries: Sequence[Entry]) -> None:
    """No record was sent to the store twice: entries of one record are merged, their messages are counted."""
    assert {entry.id: len(entry.receipts) for entry in entries} == {entry.id: 1 for entry in entries}
