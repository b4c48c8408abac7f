"""Limits and defaults of a stream's consumer, each with its AWS page."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ALARM_AGE",
    "ALARM_HOURS",
    "BATCH_SIZE",
    "BATCH_WINDOW",
    "DESTINATION_PAGE",
    "HOUR",
    "KINESIS_PAGE",
    "MAX_RECORD_AGE",
    "PARALLELIZATION",
    "POISON_HOURS",
    "RESOLVING_AGE",
    "RETENTION",
    "RETENTION_SHORTEST",
    "RETRY_ATTEMPTS",
    "SHARDS",
    "SHARD_BYTES",
    "SHARD_RECORDS",
    "TABLE_PAGE",
    "TABLE_RETENTION",
    "TIMEOUT_DEFAULT",
]

KINESIS_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html"
TABLE_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html"
DESTINATION_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html"
_MAPPING_PAGE = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
_RETENTION_PAGE = "https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html"
_QUOTAS_PAGE = "https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"

HOUR = 3600

# A hundred is Lambda's own default for streams. The handler gets the records one by one all the same, and
# what the timeout leaves undone is gone on with in the next invocation.
BATCH_SIZE = Limit(prop="batch_size", low=1, high=10_000, unit="records", page=_MAPPING_PAGE, default=100)
BATCH_WINDOW = Limit(prop="batching_window", low=0, high=300, unit="seconds", page=_MAPPING_PAGE, default=0)
PARALLELIZATION = Limit(
    prop="parallelization_factor",
    low=1,
    high=10,
    unit="batches of a shard at once",
    page=_MAPPING_PAGE,
    default=1,
)
# One: a record whose process dies is tried twice alone, which is what makes the number of invocations for p
# of them in a batch of n at most 2·p·⌈log2 n⌉ + p + 1. Splitting does not use it up.
RETRY_ATTEMPTS = Limit(
    prop="retry_attempts", low=0, high=10_000, unit="retries", page=DESTINATION_PAGE, default=1
)
MAX_RECORD_AGE = Limit(prop="max_record_age", low=60, high=604_800, unit="seconds", page=_MAPPING_PAGE)

SHARDS = Limit(prop="shards", low=1, high=None, unit="shards", page=_QUOTAS_PAGE)
# What one shard takes in a second.
# https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
SHARD_BYTES = 1_048_576
SHARD_RECORDS = 1000

# Three days: what fails on a Friday evening is still there on Monday morning.
RETENTION = Limit(
    prop="retention", low=24, high=8760, unit="hours", page=_RETENTION_PAGE, default=72, whole=True
)
RETENTION_SHORTEST = 24 * HOUR
"""Seconds for which every stream keeps a record, whatever it was told."""
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
TABLE_RETENTION = 24 * HOUR

ALARM_AGE = Limit(prop="alarm_when_older_than", low=60, high=31_536_000, unit="seconds", page=_RETENTION_PAGE)

TIMEOUT_DEFAULT = 60
"""Seconds. While nothing succeeds the records wait in their place inside the invocation; in half a minute the
breaker has opened, and in the rest of the time the controller pauses the mapping."""

# 604,800 seconds are the longest that an alarm looks back, with periods of an hour or more.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
ALARM_HOURS = 168
POISON_HOURS = ALARM_HOURS
"""For how long poison waits without a break before someone is woken: half of the 14 days that SQS keeps it.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""
RESOLVING_AGE = 1800
"""Seconds: as long as the resolver's longest run, twice."""
