"""What Lambda tells an on-failure destination of records that it gave up: where they are, not what they are.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .entries import Kind
from .records import stream_of

__all__ = ["Discarded", "read_discarded"]

_KINESIS = "KinesisBatchInfo"
_DYNAMODB = "DDBStreamBatchInfo"
_TOO_OLD = "AgeExceeded"


class Discarded(NamedTuple):
    """A range of records that Lambda passed without their having been done.

    :param stream: the stream's ARN
    :param first: the first record's sequence number
    :param last: the last record's
    :param records: how many records Lambda says there are. A batch that was halved may be told as one
    :param condition: why, in AWS's words: ``RetryAttemptsExhausted``, …
    :param invocations: how often the function was called with them, about; 0 where AWS does not say
    :param function_error: how the last call ended, in AWS's words: ``Unhandled``; empty where it returned, or
        AWS does not say
    :param arrived: when the first of them came, in AWS's words
    """

    stream: str
    shard: str
    first: str
    last: str
    records: int
    condition: str
    invocations: int
    function_error: str
    arrived: str

    @property
    def is_of_kinesis(self) -> bool:
        """Whether it is a Kinesis stream's; else a table's."""
        return self.stream.split(":")[2:3] == ["kinesis"]

    @property
    def kind(self) -> Kind:
        """How the poison store calls them."""
        return "AGED" if _TOO_OLD in self.condition else "GIVEN_UP"


def read_discarded(body: Any) -> Discarded:
    """Read what Lambda sent.

    :raises ValueError: when it is something else
    """
    told = body if isinstance(body, Mapping) else {}
    where = told.get(_KINESIS) or told.get(_DYNAMODB)
    context, answer = told.get("requestContext"), told.get("responseContext")
    try:
        if not isinstance(where, Mapping) or not isinstance(context, Mapping):
            raise KeyError(f"{_KINESIS} or {_DYNAMODB}")  # noqa: TRY301
        return Discarded(
            stream=stream_of(str(where["streamArn"])),
            shard=str(where["shardId"]),
            first=str(where["startSequenceNumber"]),
            last=str(where["endSequenceNumber"]),
            records=int(where.get("batchSize", 1)),
            condition=str(context.get("condition", "")),
            invocations=int(context.get("approximateInvokeCount", 0)),
            function_error=str((answer if isinstance(answer, Mapping) else {}).get("functionError") or ""),
            arrived=str(where.get("approximateArrivalOfFirstRecord", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"this is no record of a stream's on-failure destination: it has no {error}"
        ) from None
