"""Limits and defaults of a flow-controlled consumer, each with its AWS page."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ALARM_AGE",
    "BATCH_SIZE",
    "BATCH_SIZE_FIFO",
    "BATCH_SIZE_WITHOUT_WINDOW",
    "BATCH_WINDOW",
    "CONFIGURE_PAGE",
    "DEAD_LETTER_PAGE",
    "EVICT_AFTER",
    "MAX_CONCURRENCY",
    "MAX_RECEIVE_COUNT",
    "QUEUE_PAGE",
    "QUEUE_RETENTION_UNSET",
    "QUEUE_VISIBILITY_UNSET",
    "RECOMMENDED_RECEIVES",
    "TIMESTAMP_PAGE",
    "URGENT_ALARM_AGE",
    "URGENT_SHARE",
    "VISIBILITY_FACTOR",
    "VISIBILITY_TIMEOUT",
]

CONFIGURE_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
QUEUE_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"
)
# "the queue type must match the source queue type"
DEAD_LETTER_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
    "sqs-configure-dead-letter-queue.html"
)
_MAPPING_PAGE = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"

MAX_CONCURRENCY = Limit(
    prop="max_concurrency",
    low=2,
    high=1000,
    unit="invocations",
    page="https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html",
    default=10,
)

# One message an invocation: a slot of concurrency is then one call under way, which is what Little's law
# counts; a message's time limit is the function's timeout, not what its neighbours left of it; and a crash
# spends one message's receive. Lambda bills the time, not the batch, so waiting costs the same either way.
BATCH_SIZE = Limit(prop="batch_size", low=1, high=10_000, unit="messages", page=_MAPPING_PAGE, default=1)
BATCH_SIZE_FIFO = Limit(
    prop="batch_size", low=1, high=10, unit="messages of a FIFO queue", page=_MAPPING_PAGE, default=1
)
# A batch of more than this needs a window.
BATCH_SIZE_WITHOUT_WINDOW = 10
BATCH_WINDOW = Limit(prop="batching_window", low=0, high=300, unit="seconds", page=_MAPPING_PAGE, default=0)

VISIBILITY_TIMEOUT = Limit(prop="visibility_timeout", low=0, high=43_200, unit="seconds", page=QUEUE_PAGE)
# "set the source queue's visibility timeout to at least six times the configuration timeout on your function"
VISIBILITY_FACTOR = 6
MAX_RECEIVE_COUNT = Limit(
    prop="max_receive_count", low=1, high=1000, unit="receives", page=QUEUE_PAGE, default=10
)
# "We recommend setting the maxReceiveCount on your source queue's redrive policy to at least 5."
RECOMMENDED_RECEIVES = 5

# What SQS takes when a queue's visibility timeout is not set.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
QUEUE_VISIBILITY_UNSET = 30

# SQS keeps nothing longer than 14 days, so an older message cannot be waited for.
ALARM_AGE = Limit(
    prop="alarm_when_older_than", low=60, high=1_209_600, unit="seconds", page=QUEUE_PAGE, default=900
)

# "SentTimestamp: the time the message was sent to the queue"
TIMESTAMP_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"
)
EVICT_AFTER = Limit(
    prop="evict_after", low=1, high=None, unit="seconds", page=TIMESTAMP_PAGE, default=None, whole=False
)

# What SQS takes when a queue's retention is not set: four days.
QUEUE_RETENTION_UNSET = 345_600

# Each lane needs the two slots that AWS wants at least; how a share falls out is said where it is split.
URGENT_SHARE = Limit(
    prop="urgent_lane share",
    low=0.01,
    high=0.99,
    unit="of the consumer's concurrency",
    page=MAX_CONCURRENCY.page,
    default=0.25,
    whole=False,
)
URGENT_ALARM_AGE = Limit(
    prop="urgent_lane alarm_when_older_than",
    low=60,
    high=1_209_600,
    unit="seconds",
    page=QUEUE_PAGE,
    default=300,
)
