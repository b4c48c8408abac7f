"""What the poison store keeps of a record: all of it, and why it is there.

One JSON object, which a person can read and any program can replay: ``record`` is the record as Lambda
delivered it.

===================  ======================================================================================
``version``          1
``kind``             POISON (it failed), PARKED (it came after poison of its key), GIVEN_UP (Lambda passed it:
                     its process died, mostly), AGED (it got too old), EXPIRED (the stream had
                     dropped it before anybody could read it: positions alone)
``stream``           the stream's ARN
``shard``            the shard's id
``sequence_number``  the record's; with the shard it names the record
``partition_key``    the record's
``arrived_at``       seconds since 1970, about
``record``           as Lambda delivered it, or None where it is lost
``reason``           why it is here, in one sentence
``error``, ``stack`` what the handler raised last, without secrets
``strikes``          how many attempts at it failed, as far as who stores it remembers
``parked_table``     where its key is parked, when it is
``function_name``, ``request_id``, ``correlation_id``, ``stored_at``
===================  ======================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from .records import StreamRecord

__all__ = ["VERSION", "Kind", "entry_of", "entry_text", "pointer_of"]

Kind = Literal["POISON", "PARKED", "GIVEN_UP", "AGED", "EXPIRED"]

VERSION = 1
_POINTED_AT = (
    "version",
    "kind",
    "stream",
    "shard",
    "sequence_number",
    "partition_key",
    "arrived_at",
    "reason",
    "parked_table",
    "stored_at",
)


def entry_of(record: StreamRecord, kind: Kind, *, reason: str, stored_at: str, **more: Any) -> dict[str, Any]:
    """The entry of a record.

    :param stored_at: now, as an RFC 3339 timestamp
    :param more: error, stack, strikes and whoever stores it; what is None is left out
    """
    entry = {
        "version": VERSION,
        "kind": kind,
        "stream": record.stream,
        "shard": record.shard,
        "sequence_number": record.sequence,
        "partition_key": record.key,
        "arrived_at": record.arrived_at,
        "reason": reason,
        "stored_at": stored_at,
    }
    known = {name: value for name, value in more.items() if value is not None}
    return entry | known | {"record": record.raw}


def entry_text(entry: Mapping[str, Any]) -> str:
    """The entry as a message's body; ASCII, as SQS refuses some characters."""
    return json.dumps(entry, separators=(",", ":"), default=str)


def pointer_of(entry: Mapping[str, Any], bucket: str, key: str) -> dict[str, Any]:
    """What stands in the queue for an entry that is too large for it."""
    return {name: entry[name] for name in _POINTED_AT if name in entry} | {
        "stored_in": {"bucket": bucket, "key": key}
    }
