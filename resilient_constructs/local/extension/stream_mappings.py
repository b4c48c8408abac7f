"""Event source mappings of Kinesis and DynamoDB streams.

AWS: each shard is polled by itself, or each of up to ten parts of it, by partition key. A batch that fails
is halved or retried, gone on with at the sequence number that the function returns, and given up to the
on-failure destination when its retries are used up or it is too old.
ministack 1.5.33: one batch of one shard at a time; a batch that fails blocks its shard for ever, and of what
the function returns nothing is read, so that records it gives back are lost.
Here: as AWS, but for its pauses between two attempts, which are not documented: they are half a second, and
twice as long each time, up to five. Enhanced fan-out is polled like everything else.
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

import json
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ministack.core.concurrency import spawn_background
from ministack.core.responses import _request_account_id, _request_region, get_account_id
from ministack.services import lambda_svc, sqs

from resilient_constructs.forecast.stream_mapping import Failed, StreamMapping, Throttled

from . import recording
from .stream_sources import Cursor, Source, sources_of

__all__ = ["close"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_INFO = {"kinesis": "KinesisBatchInfo", "dynamodb": "DDBStreamBatchInfo"}


def close() -> None:
    """Put it in place."""
    lanes: dict[tuple[str, str, int], _Lane] = {}

    def poll_kinesis() -> bool:
        return _poll("kinesis", lanes)

    def poll_tables() -> bool:
        return _poll("dynamodb", lanes)

    lambda_svc._poll_kinesis = poll_kinesis
    lambda_svc._poll_dynamodb_streams = poll_tables


def _poll(service: str, lanes: dict[tuple[str, str, int], _Lane]) -> bool:
    """Begin an invocation wherever one is due; whether any was."""
    began = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        if f":{service}:" not in mapping.get("EventSourceArn", ""):
            continue
        tokens = _request_account_id.set(account), _request_region.set(region)
        try:
            for lane in _lanes_of(mapping, lanes):
                # A lane is made where its cursor belongs even while its mapping is disabled.
                if mapping.get("Enabled", True) and lane.is_due(mapping):
                    lane.is_running = True
                    began = True
                    spawn_background(lane.turn, mapping, thread_name="resilient-stream")
        finally:
            _request_account_id.reset(tokens[0])
            _request_region.reset(tokens[1])
    return began


def _lanes_of(mapping: Mapping[str, Any], lanes: dict[tuple[str, str, int], _Lane]) -> Iterator[_Lane]:
    parts = int(mapping.get("ParallelizationFactor") or 1)
    for source in sources_of(mapping):
        for part in range(parts):
            name = (mapping["UUID"], source.shard, part)
            if name not in lanes:
                lanes[name] = _Lane(source, part, parts, source.start(mapping))
            yield lanes[name]


class _Lane:
    """A shard, or a part of it by partition key: one invocation at a time."""

    def __init__(self, source: Source, part: int, parts: int, cursor: Cursor) -> None:
        self._source = source
        self._mine: Callable[[Mapping[str, Any]], bool] = lambda record: (
            parts == 1 or zlib.crc32(source.key_of(record).encode()) % parts == part
        )
        self._cursor = cursor
        self._records: dict[str, dict[str, Any]] = {}
        self._not_before = 0.0
        self._pause = _FIRST_PAUSE
        self.is_running = False
        self._model: StreamMapping[str] | None = None
        self._rules: tuple[int, bool] | None = None

    def is_due(self, mapping: Mapping[str, Any]) -> bool:
        """Whether an invocation is to be made now; takes the next batch where there is none."""
        if self.is_running or time.monotonic() < self._not_before:
            return False
        model = self._model
        if model is not None and model.is_busy:
            return True
        # Read anew with each batch: a mapping may be updated while it runs.
        rules = _retries_of(mapping), bool(mapping.get("BisectBatchOnFunctionError"))
        if model is None or rules != self._rules:
            self._rules = rules
            model = self._model = self._modelled(*rules)
        batch = self._next(mapping)
        if batch:
            model.take(batch)
        return bool(batch)

    def turn(self, mapping: dict[str, Any]) -> None:
        """One invocation."""
        model = self._model
        try:
            if model is not None:
                self._current = mapping
                model.poll()
        finally:
            self.is_running = False
            lambda_svc._esm_wake.set()

    def _next(self, mapping: Mapping[str, Any]) -> list[str]:
        """The names of the next batch's records; those that a filter leaves out are passed."""
        size = int(mapping.get("BatchSize") or 100)
        found, self._cursor = self._source.read(self._cursor, size, self._mine)
        wanted = lambda_svc._apply_filter_criteria(found, mapping)
        self._records = {self._source.sequence_of(record): record for record in wanted}
        return list(self._records)

    def _modelled(self, retries: int, bisects: bool) -> StreamMapping[str]:
        return StreamMapping(
            invoke=self._invoke,
            discard=self._discard,
            max_retries=retries,
            is_too_old=self._is_too_old,
            bisects=bisects,
        )

    def _is_too_old(self, name: str) -> bool:
        age = self._current.get("MaximumRecordAgeInSeconds")
        if age is None or int(age) < 0:
            return False
        return time.time() - self._source.arrived_at(self._records[name]) > int(age)

    def _invoke(self, names: Sequence[str]) -> str | None:
        mapping = self._current
        function, _ = lambda_svc._get_func_record_for_qualifier(
            mapping["FunctionName"], mapping.get("Qualifier")
        )
        if function is None:
            self._pause_longer()
            raise Throttled
        self._source.record_read((function.get("config") or function)["Role"])
        result = lambda_svc._execute_function(function, {"Records": [self._records[one] for one in names]})
        if result.get("throttle"):
            self._pause_longer()
            raise Throttled
        if result.get("error"):
            mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
            self._pause_longer()
            raise Failed
        resume_at = _resume_at(result.get("body"), names, mapping)
        if resume_at == names[0]:
            self._pause_longer()
        else:
            self._pause, self._not_before = _FIRST_PAUSE, 0.0
        mapping["LastProcessingResult"] = "OK"
        return resume_at

    def _pause_longer(self) -> None:
        self._not_before = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _discard(self, names: Sequence[str], condition: str, invocations: int) -> None:
        self._pause, self._not_before = _FIRST_PAUSE, 0.0
        mapping = self._current
        destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination", "")
        if ":sqs:" not in destination:
            return
        function, config = lambda_svc._get_func_record_for_qualifier(
            mapping["FunctionName"], mapping.get("Qualifier")
        )
        config = config or (function or {}).get("config") or {}
        times = [self._source.arrived_at(self._records[one]) for one in names]
        told = {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": config.get("FunctionArn", ""),
                "condition": condition,
                "approximateInvokeCount": invocations,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": _moment(time.time()),
            _INFO[self._source.service]: {
                "shardId": self._source.shard,
                "startSequenceNumber": names[0],
                "endSequenceNumber": names[-1],
                "approximateArrivalOfFirstRecord": _moment(times[0]),
                "approximateArrivalOfLastRecord": _moment(times[-1]),
                "batchSize": len(names),
                "streamArn": mapping["EventSourceArn"],
            },
        }
        _send(destination, json.dumps(told))
        recording.record_use(config.get("Role", ""), "sqs:SendMessage", destination)


def _retries_of(mapping: Mapping[str, Any]) -> int:
    retries = mapping.get("MaximumRetryAttempts")
    return -1 if retries is None else int(retries)


def _resume_at(body: Any, names: Sequence[str], mapping: Mapping[str, Any]) -> str | None:
    """The first record that the function gave back; an unknown one gives back the whole batch."""
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or ()):
        return None
    try:
        said = json.loads(body) if isinstance(body, str | bytes) else body
    except ValueError:
        return None
    failures = said.get("batchItemFailures") if isinstance(said, dict) else None
    if not failures:
        return None
    wanted = {str(one.get("itemIdentifier")) if isinstance(one, dict) else "" for one in failures}
    if not wanted <= set(names):
        return names[0]
    return next(name for name in names if name in wanted)


def _send(destination: str, body: str) -> None:
    queue = sqs._queue_by_arn(destination)
    if queue is None:
        return
    now = time.time()
    queue["messages"].append(
        {
            "id": str(uuid.uuid4()),
            "body": body,
            "md5_body": "",
            "md5_attrs": "",
            "receipt_handle": None,
            "sent_at": now,
            "visible_at": now + sqs.queue_delay(queue),
            "receive_count": 0,
            "first_receive_at": None,
            "message_attributes": {},
            "sys": {"SenderId": get_account_id(), "SentTimestamp": str(int(now * 1000))},
            "group_id": None,
            "dedup_id": None,
            "dedup_cache_key": None,
            "seq": None,
        }
    )
    lambda_svc._esm_wake.set()


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
